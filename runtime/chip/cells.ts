/**
 * The cells of a tile once they are programmed: what conductance each has at any later time, and
 * how noisy a read of it is. Means and spreads come from the device file, by the formulas of
 * `targets/deviceModel.ts`; here they meet random numbers. A cell keeps its draws for its life:
 * asked twice for the same time it answers the same, asked later it has moved on from there.
 */
import { UserError } from "../../compiler/errors.ts";
import type { Device } from "../../targets/device.ts";
import {
  driftExponent, programmingSigma, readSigma, relaxation, telegraphStep,
} from "../../targets/deviceModel.ts";
import type { Second, Siemens } from "../../targets/units.ts";
import { keyOf, normalAt, uniformAt, type Key } from "./normal.ts";
import { writeRule, writeVerify, type WriteReport, type WriteRule } from "./writeVerify.ts";

/** Which of the cells' imperfections there are. */
export interface CellFaults {
  /** Spread of what programming reaches. */
  readonly programming: boolean;
  /** What time does: relaxation, drift, and the growth of the spread. */
  readonly drift: boolean;
}

/** Cells in use between gMin and gMax, which need not be the window they were measured in. */
export interface CellTechnology {
  readonly device: Device;
  readonly gMin: Siemens;
  readonly gMax: Siemens;
}

/** Seconds after programming at which a device's first spread was measured. */
export const firstTime = (device: Device): Second =>
  (device.programming.spread[0] as { time: { value: Second } }).time.value;

/**
 * A time of reading after programming, or the first that the device was measured at.
 * @throws UserError unless it is above 0
 */
export function checkedTime(given: Second | undefined, device: Device): Second {
  const time = given ?? firstTime(device);
  if (Number.isFinite(time) && time > 0) return time;
  throw new UserError(`cells cannot be read ${time} s after programming`, {
    place: "time", remedy: "Give a number of seconds above 0.",
  });
}

/** A function of conductance whose values are kept: discrete levels are few. */
function remembered<T>(f: (g: Siemens) => T): (g: number) => T {
  const known = new Map<number, T>();
  return (g) => {
    const held = known.get(g);
    if (held !== undefined) return held;
    const value = f(g as Siemens);
    if (known.size < 4096) known.set(g, value);
    return value;
  };
}

export class ProgrammedCells {
  readonly #technology: CellTechnology;
  readonly #target: ArrayLike<number>;
  readonly #key: Key;
  readonly #faults: CellFaults;
  readonly #stuck: ArrayLike<number> | undefined;
  readonly #rule: WriteRule | undefined;
  #report: WriteReport | undefined;

  /**
   * Programs cells.
   * @param target conductances that are wanted, siemens
   * @param key the stream that these cells draw from; another key is another array of devices
   * @param stuck conductances of the cells that cannot be programmed, NaN for the others
   * @param budget pulses per cell: cells that do not converge within them stay where they are
   * @throws UserError when a budget is given for a device that states no write-verify
   */
  constructor(
    technology: CellTechnology, target: ArrayLike<number>, key: Key, faults: CellFaults,
    stuck?: ArrayLike<number>, budget?: number,
  ) {
    this.#technology = technology;
    this.#target = target;
    this.#key = key;
    this.#faults = faults;
    this.#stuck = stuck;
    this.#rule = budget === undefined ? undefined
      : writeRule(technology.device, technology.gMax, budget);
  }

  /** How programming within the budget went, once `at` was asked; undefined without a budget. */
  get report(): WriteReport | undefined {
    return this.#report;
  }

  /**
   * Conductances `t` seconds after programming, siemens. Without drift they stay as the first
   * measurement after programming found them.
   */
  at(t: Second): Float64Array {
    const { device } = this.#technology;
    const { programming, drift } = this.#faults;
    const out = Float64Array.from(this.#target);
    if (programming) this.#spread(out, drift ? t : firstTime(device));
    if (programming && this.#rule) {
      this.#report = writeVerify(
        this.#rule, device, this.#target, out, this.#key, this.#stuck);
    }
    if (drift) this.#age(out, t);
    if (this.#stuck) stick(out, this.#stuck);
    return out;
  }

  #spread(cells: Float64Array, t: Second): void {
    const { device, gMax } = this.#technology;
    const { distribution } = device.programming;
    const key = keyOf(0, this.#key[0], this.#key[1], "programming");
    const sigma = remembered((g) =>
      programmingSigma(device, g, t, gMax));
    for (let i = 0; i < cells.length; i++) {
      const g = cells[i] as number;
      const s = sigma(g);
      if (s === 0) continue;
      cells[i] = distribution === "log-normal" ? g * Math.exp(s * normalAt(key, i))
        : Math.max(0, g + s * (distribution === "normal" ? normalAt(key, i)
          : 2 * uniformAt(key, i) - 1));
    }
  }

  /** Relaxation and drift follow the conductance that was wanted, as their fits were made. */
  #age(cells: Float64Array, t: Second): void {
    const { device, gMax } = this.#technology;
    const { kind } = device.time;
    if (kind === "none") return;
    const key = keyOf(0, this.#key[0], this.#key[1], "drift");
    const relaxed = remembered((g) =>
      relaxation(device, g, t, gMax));
    const exponent = remembered((g) => driftExponent(device, g, gMax));
    for (let i = 0; i < cells.length; i++) {
      const wanted = this.#target[i] as number;
      if (kind === "log-time") {
        const { shift, spread } = relaxed(wanted);
        cells[i] = Math.max(0, (cells[i] as number) + shift + spread * normalAt(key, i));
        continue;
      }
      const nu = exponent(wanted);
      if (!nu || t <= nu.start) continue;
      const power = -Math.abs(nu.mean + nu.spread * normalAt(key, i));
      cells[i] = (cells[i] as number) * (t / nu.start) ** power;
    }
  }

  /**
   * Standard deviation of one read of each cell, siemens.
   * @param cells their conductances at that time
   * @param relative noise of the periphery, relative to the conductance, besides the device's own
   * @param share of the variance of the device's own
   */
  readSigma(cells: Float64Array, t: Second, relative: number, share = 1): Float64Array {
    const { device, gMax } = this.#technology;
    return cells.map((g) => Math.hypot(
      Math.sqrt(share) * readSigma(device, g as Siemens, t, gMax), relative * g));
  }

  /**
   * Distance of the two levels of each cell, siemens: 0 for those without telegraph noise.
   * @param cells their conductances at the time of reading
   * @returns undefined where the device has no such noise
   */
  telegraphSteps(cells: Float64Array): Float64Array | undefined {
    const { device, gMax } = this.#technology;
    if (!device.telegraph) return undefined;
    const share = device.telegraph.share.value;
    const key = keyOf(0, this.#key[0], this.#key[1], "telegraph");
    return cells.map((g, i) =>
      (uniformAt(key, i) < share ? telegraphStep(device, g as Siemens, gMax) : 0));
  }
}

function stick(cells: Float64Array, stuck: ArrayLike<number>): void {
  for (let i = 0; i < cells.length; i++) {
    const held = stuck[i] as number;
    if (held === held) cells[i] = held;
  }
}
