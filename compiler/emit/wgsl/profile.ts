/**
 * What a WebGPU device allows, as plain data: an input of the emitter, of fusion (storage buffers
 * per kernel) and of partitioning (buffer sizes), so that every decision that a limit drives can be
 * tested without a device. Not a device, and no guess at its speed.
 */

export interface DeviceProfile {
  /** maxStorageBuffersPerShaderStage */
  readonly storageBuffers: number;
  /** maxStorageBufferBindingSize, bytes: the largest tensor that a kernel can see. */
  readonly bindingBytes: number;
  /** maxBufferSize, bytes. */
  readonly bufferBytes: number;
  /** maxComputeWorkgroupStorageSize, bytes. */
  readonly workgroupBytes: number;
  /** Invocations that a one-dimensional workgroup may have. */
  readonly workgroupInvocations: number;
  /** maxComputeWorkgroupsPerDimension */
  readonly workgroupsPerDimension: number;
  readonly features: {
    readonly f16: boolean;
    readonly subgroups: boolean;
  };
}

/** What every WebGPU device grants: https://www.w3.org/TR/webgpu/#limits, column "Default". */
export const webGpuDefaults: DeviceProfile = {
  storageBuffers: 8,
  bindingBytes: 128 * 2 ** 20,
  bufferBytes: 256 * 2 ** 20,
  workgroupBytes: 16 * 2 ** 10,
  workgroupInvocations: 256,
  workgroupsPerDimension: 65_535,
  features: { f16: false, subgroups: false },
};

/** The largest tensor that the device can hold and a kernel can see, in bytes. */
export const maxBytes = ({ bindingBytes, bufferBytes }: DeviceProfile): number =>
  Math.min(bindingBytes, bufferBytes);

/** How many tensors one kernel may touch; symbolic sizes travel in a uniform buffer beside them. */
export const maxBuffers = (profile: DeviceProfile): number => profile.storageBuffers;
