/**
 * Kernel IR to WGSL: one module with one entry point per kernel. How a kernel of each kind is laid
 * over invocations and workgroups is in the file of that kind; what the expressions mean in
 * `text.ts` and `functions.ts`; what a device allows comes in as a profile. Nothing here touches a
 * device.
 */
import { UserError } from "../../errors.ts";
import type { Kernel, KernelBody, KernelKind } from "../../kernels/kernel.ts";
import { emitContract } from "./contract.ts";
import { emitCumulate } from "./cumulate.ts";
import { emitMap } from "./map.ts";
import { Module, type Entry, type WgslKernel } from "./module.ts";
import { maxBuffers, webGpuDefaults, type DeviceProfile } from "./profile.ts";
import { emitReduce } from "./reduce.ts";
import { emitScatter } from "./scatter.ts";
import { emitSort } from "./sort.ts";

type Emitters = {
  readonly [K in KernelKind]: (module: Module, body: Extract<KernelBody, { kind: K }>) => Entry;
};

const emitters: Emitters = {
  map: emitMap,
  reduce: emitReduce,
  contract: emitContract,
  cumulate: emitCumulate,
  scatter: emitScatter,
  sort: emitSort,
};

export type { WgslKernel };

/**
 * @throws UserError when the kernel touches more tensors than a kernel may on such a device; fusion
 * keeps below `maxBuffers(profile)`, so only an artifact for another device gets there.
 */
export function emitWgsl(kernel: Kernel, profile: DeviceProfile = webGpuDefaults): WgslKernel {
  const buffers = kernel.arguments.length;
  if (buffers > maxBuffers(profile)) {
    throw new UserError(
      `kernel ${kernel.name} touches ${buffers} tensors, the device allows ${maxBuffers(profile)}`,
      { remedy: "Compile for this device's limits, so that fusion makes smaller kernels." });
  }
  const module = new Module(kernel, profile);
  const emit = emitters[kernel.body.kind] as (module: Module, body: KernelBody) => Entry;
  return module.finish(emit(module, kernel.body));
}
