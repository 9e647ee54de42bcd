/**
 * How memory cells answer to update pulses, as data: what one pulse adds to a weight, how that
 * depends on where the weight is, and how far cells and pulses differ. The law is that of soft
 * bounds (Fusi and Abbott, Nature Neuroscience 10, 2007): steps shrink linearly to nothing at the
 * end that they move to, so up and down are alike at one point only.
 *
 *   up:   w += step (1 + asymmetry) (1 - w / upper) (1 + cycle N)
 *   down: w -= step (1 - asymmetry) (1 - w / lower) (1 + cycle N)
 *
 * Weights are in the unit in which aihwkit states them; learning scales them. Not in device files:
 * nobody has measured these and the spreads of programming on one and the same cell.
 */

export interface PulsedDevice {
  readonly source: string;
  /** Step of one pulse where the weight is 0, of the mean cell. */
  readonly step: number;
  /** Ends of the mean cell's range. */
  readonly upper: number;
  readonly lower: number;
  /** Up steps are longer by this share, down steps shorter. */
  readonly asymmetry: number;
  /** Spreads between cells, relative: of the step, of the ends; of the asymmetry, absolute. */
  readonly stepSpread: number;
  readonly boundSpread: number;
  readonly asymmetrySpread: number;
  /** Spread from pulse to pulse, relative to the step. */
  readonly cycle: number;
  /** Pulses that a cell stands; null where the source does not say. */
  readonly endurance: number | null;
}

const AIHWKIT = "aihwkit 1.1, presets/devices.py";

export const pulsedDevices = {
  "ideal-pulses": {
    source: "definition: equal steps, no spread; only the size of a step is left",
    step: 0.001, upper: Infinity, lower: -Infinity, asymmetry: 0,
    stepSpread: 0, boundSpread: 0, asymmetrySpread: 0, cycle: 0, endurance: null,
  },
  "rram-soft-bounds": {
    source: `${AIHWKIT}: ReRamSBPresetDevice: dw_min 0.002, w from -0.75 to 1.25, ` +
      "dw_min_dtod 0.3, dw_min_std 3.75, w_max_dtod and w_min_dtod 0.3, up_down_dtod 0.01",
    step: 0.002, upper: 1.25, lower: -0.75, asymmetry: 0,
    stepSpread: 0.3, boundSpread: 0.3, asymmetrySpread: 0.01, cycle: 3.75,
    endurance: null,
  },
  "rram-array-optimised": {
    source: "Gong et al., IEDM 2022, as in aihwkit's ReRamArrayOMPresetDevice: dw_min 0.0949, " +
      "dw_min_dtod 0.78, dw_min_std 0.416; ends +-1 assumed",
    step: 0.0949, upper: 1, lower: -1, asymmetry: 0,
    stepSpread: 0.78, boundSpread: 0, asymmetrySpread: 0, cycle: 0.416, endurance: null,
  },
} as const satisfies Record<string, PulsedDevice>;

export type PulsedDeviceName = keyof typeof pulsedDevices;
export const pulsedDeviceNames = Object.keys(pulsedDevices) as PulsedDeviceName[];
