/**
 * Opens a device by name. `auto` takes the WASM device, the embedded default that is always there;
 * what was asked for by name is opened or refused with a remedy, never replaced.
 */
import { InterpreterDevice } from "./interpreter/interpreterDevice.ts";
import type { Device } from "./device.ts";
import { openWasmDevice } from "./wasm/wasmDevice.ts";
import { openWebGpuDevice } from "./webgpu/webgpuDevice.ts";

export const deviceChoices = ["auto", "webgpu", "wasm", "interpreter"] as const;
export type DeviceChoice = (typeof deviceChoices)[number];

const openers: Record<DeviceChoice, () => Promise<Device>> = {
  auto: () => openWasmDevice(),
  wasm: () => openWasmDevice(),
  webgpu: () => openWebGpuDevice(),
  interpreter: () => Promise.resolve(new InterpreterDevice()),
};

/** @throws UserError when the device is not to be had here, with what brings it */
export const openDevice = (choice: DeviceChoice): Promise<Device> => openers[choice]();
