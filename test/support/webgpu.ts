/**
 * WebGPU for tests: probes for an adapter once per process, by the runtime's own `openWebGpu`, so
 * that a test runs exactly where a user's program would. A file that imports this is named
 * `*.webgpu.test.ts`: each runs in a process of its own, one after another.
 */
import { openWebGpu } from "../../runtime/device/webgpu/adapter.ts";
import type { WebGpu } from "../../runtime/device/webgpu/adapter.ts";
import { describeNeeding } from "./notRun.ts";
import type { Need } from "./notRun.ts";
import { installLine } from "./programs.ts";

// Mesa's software adapter compiles vectors of 4 in half the time of vectors of 8 (measured: 26 s
// instead of 62 s for the shaders of three small models), and that is where the tests' time goes.
process.env.LP_NATIVE_VECTOR_WIDTH ??= "128";

async function probe(): Promise<Need<WebGpu>> {
  const opened = await openWebGpu();
  if (!("unavailable" in opened)) return { value: opened };
  const reason = opened.unavailable;
  return { missing: { what: "WebGPU adapter", reason, install: installLine } };
}

const need = await probe();

/**
 * `describe` for tests on a WebGPU device. `get()`, inside a test or hook, gives the adapter, one
 * device shared by the file's tests (do not destroy it), and what the adapter says of itself.
 */
export function describeWebGpu(name: string, body: (get: () => WebGpu) => void): void {
  describeNeeding(need, name, body);
}
