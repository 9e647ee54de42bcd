import { expect, test } from "vitest";
import { describeWebGpu } from "../../../support/webgpu.ts";

/** C = A B for `size` x `size` matrices, one invocation per element. */
const productShader = (size: number) => `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = 0.0;
  for (var k = 0u; k < ${size}u; k++) { sum += a[id.y * ${size}u + k] * b[k * ${size}u + id.x]; }
  c[id.y * ${size}u + id.x] = sum;
}`;

describeWebGpu("the adapter that openWebGpu finds", (get) => {
  test("says what it is", () => {
    const { info, adapter, device } = get();
    expect(info.description).not.toBe("");
    expect(device.features.has("timestamp-query")).toBe(adapter.features.has("timestamp-query"));
    expect(device.limits.maxStorageBufferBindingSize)
      .toBe(adapter.limits.maxStorageBufferBindingSize);
  });

  test("multiplies matrices", async () => {
    const { device } = get();
    const size = 32;
    const [a, b] = [1, 2].map((salt) =>
      Float32Array.from({ length: size * size }, (_, i) => Math.sin(i * salt) / 2),
    ) as [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>];
    const { STORAGE, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
    const usage = STORAGE | COPY_DST | COPY_SRC;
    const buffers = [0, 1, 2].map(() => device.createBuffer({ size: a.byteLength, usage }));
    const result = device.createBuffer({ size: a.byteLength, usage: MAP_READ | COPY_DST });
    const [bufferA, bufferB, bufferC] = buffers as [GPUBuffer, GPUBuffer, GPUBuffer];
    device.queue.writeBuffer(bufferA, 0, a);
    device.queue.writeBuffer(bufferB, 0, b);
    const module = device.createShaderModule({ code: productShader(size) });
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto", compute: { module, entryPoint: "main" },
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    }));
    pass.dispatchWorkgroups(size / 8, size / 8);
    pass.end();
    encoder.copyBufferToBuffer(bufferC, 0, result, 0, a.byteLength);
    device.queue.submit([encoder.finish()]);
    await result.mapAsync(GPUMapMode.READ);
    const c = new Float32Array(result.getMappedRange());
    for (let row = 0; row < size; row += 1) {
      for (let column = 0; column < size; column += 1) {
        let exact = 0;
        let magnitude = 0;
        for (let k = 0; k < size; k += 1) {
          const term = a[row * size + k]! * b[k * size + column]!;
          exact += term;
          magnitude += Math.abs(term);
        }
        // One product and one sum rounding per term, in any order.
        const bound = (size + 1) * 2 ** -24 * magnitude;
        expect(Math.abs(c[row * size + column]! - exact)).toBeLessThanOrEqual(bound);
      }
    }
  });

  test("reports an invalid shader and lives on", async () => {
    const { device } = get();
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: "fn main( {" });
    const { messages } = await module.getCompilationInfo();
    expect((await device.popErrorScope())?.message).toMatch(/parsing WGSL/);
    expect(messages.some(({ type }) => type === "error")).toBe(true);
    await device.queue.onSubmittedWorkDone();
  });
});
