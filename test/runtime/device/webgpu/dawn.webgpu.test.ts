import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { describeNeeding } from "../../../support/notRun.ts";
import { installLine } from "../../../support/programs.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../../..", import.meta.url));
let program = "";

/** Opens an adapter in a new Node process, which must also leave by itself. */
async function openIn(
  env: NodeJS.ProcessEnv, cwd = root, text = program,
): Promise<Record<string, unknown>> {
  const { stdout } = await run(
    process.execPath, ["--input-type=module", "--eval", text],
    { cwd, env: { ...process.env, ...env }, timeout: 60_000 },
  );
  return JSON.parse(stdout) as Record<string, unknown>;
}

beforeAll(async () => {
  const contents = `
    import { openWebGpu } from "./runtime/device/webgpu/adapter.ts";
    const opened = await openWebGpu();
    console.log(JSON.stringify("unavailable" in opened ? opened : opened.info));`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    bundle: true, format: "esm", platform: "node", packages: "external", write: false,
  });
  program = outputFiles[0]?.text ?? "";
});

describe.runIf(process.platform === "linux")("drivers that cannot be used", () => {
  test("a variable that names no driver is respected and named", async () => {
    const opened = await openIn({ VK_DRIVER_FILES: "/nonexistent/driver.json" });
    expect(opened.unavailable).toMatch(/VK_DRIVER_FILES=\/nonexistent\/driver\.json/);
    expect(opened.remedy).toMatch(/another device/);
  });
});

describe("where Dawn cannot work", () => {
  test("a missing package is a reason, with the line that installs it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crosstie-no-packages-"));
    try {
      const opened = await openIn({}, folder);
      expect(opened.unavailable).toMatch(/^the optional package "webgpu" cannot be loaded \(.+\)$/);
      expect(opened.remedy).toMatch(/npm install webgpu/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a worker thread is told so, instead of crashing", async () => {
    const worker = JSON.stringify(`data:text/javascript,${encodeURIComponent(program)}`);
    const text = `import { Worker } from "node:worker_threads"; new Worker(new URL(${worker}));`;
    expect((await openIn({}, root, text)).unavailable).toMatch(/main thread only/);
  });
});

const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json";
const need = existsSync(swiftShader)
  ? { value: swiftShader }
  : {
      missing: {
        what: "SwiftShader of Debian's chromium",
        reason: `${swiftShader} does not exist`,
        install: installLine,
      },
    };

describeNeeding(need, "a machine without a Vulkan driver, but with Chromium", () => {
  test("runs on Chromium's SwiftShader, and says that it is software", async () => {
    const opened = await openIn({ XDG_DATA_DIRS: "/nonexistent" });
    expect(opened).toMatchObject({ architecture: "swiftshader", isSoftware: true });
  });
});
