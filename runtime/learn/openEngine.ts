/**
 * Opens the engine that a command's `--device` names. The interpreter runs in float64 here, since
 * it is the reference that gradients are checked with; nothing is replaced in silence.
 */
import type { Device } from "../device/device.ts";
import { InterpreterDevice } from "../device/interpreter/interpreterDevice.ts";
import { openDevice, type DeviceChoice } from "../device/open.ts";
import { deviceEngine } from "./deviceEngine.ts";
import type { Engine } from "./engine.ts";

export interface OpenEngine {
  readonly engine: Engine;
  /** The caller destroys it. */
  readonly device: Device;
}

/** @throws UserError when the device is not to be had here, with what brings it. */
export async function openEngine(choice: DeviceChoice): Promise<OpenEngine> {
  const device = choice === "interpreter" ? new InterpreterDevice("f64") : await openDevice(choice);
  return { engine: deviceEngine(device), device };
}
