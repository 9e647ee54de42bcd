/**
 * Shaders with faults in them, in a process of their own: Dawn has been seen to abort some time
 * after one.
 */
import { expect, test } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { UserError } from "../../../../compiler/errors.ts";
import { openWebGpuDevice } from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { relu } from "../../../compiler/emit/wgsl/smallKernels.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { compileCheck } from "./compileCheck.ts";

describeWebGpu("a shader with a fault", (get) => {
  test("is shown in full, with the kernel, the place and the remedy", async () => {
    const device = await openWebGpuDevice();
    const kernel = relu(100);
    const wgsl = emitWgsl(kernel).source.replace("let i = i32(id.x);", "let i = i32(id.q);");
    const error = await device.prepare([{ kernel, wgsl }]).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    const { message } = error as UserError;
    const line = wgsl.split("\n").findIndex((text) => text.includes("id.q")) + 1;
    expect(message).toContain("shader of kernel relu does not compile");
    expect(message).toContain(`${line}:`);
    expect(message).toContain(`${String(line).padStart(4)}    let i = i32(id.q);`);
    expect(message).toContain("Compile the artifact again, or undo the edit.");
    device.destroy();
  });

  test("and one that does not say its workgroups or has no entry point is refused", async () => {
    const device = await openWebGpuDevice();
    const kernel = relu(100);
    const { source } = emitWgsl(kernel);
    await expect(device.prepare([{ kernel, wgsl: source.replace("// workgroups", "// groups") }]))
      .rejects.toThrow("the shader of kernel relu does not say its workgroups");
    await expect(device.prepare([{ kernel, wgsl: "fn f() {}" }]))
      .rejects.toThrow("the shader of kernel relu has no entry point");
    device.destroy();
  });

  test("is told from good ones by compileCheck", async () => {
    const good = emitWgsl(relu(100)).source;
    const [first, second] = await compileCheck(get().device, [good, good.replace("i32", "i31")]);
    expect(first).toEqual([]);
    expect(second?.join("\n")).toMatch(/^\d+:\d+: error: /);
  });
});
