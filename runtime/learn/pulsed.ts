/**
 * Updates by pulses on the cells that hold the weights, instead of exact steps: every weight is a
 * cell with a step, ends and asymmetry of its own, drawn once, and every pulse has its own spread
 * (`targets/pulsedDevices.ts`). On the host and counter-based: the same on every device.
 *
 * Rules: `stochastic` sends on average as many pulses as the step asks for (Gokmen and Vlasov,
 * Frontiers in Neuroscience 10, 2016); `sign` one pulse wherever the gradient is not zero (the
 * Manhattan rule of Zamanidoost et al., 2015); `mixed-precision` adds steps up digitally and
 * sends whole pulses (Nandakumar et al., Frontiers in Neuroscience 14, 2020). None reads a cell
 * back. Biases, and everything else that lies on no array, takes exact steps.
 */
import type { ParameterSpec } from "../../compiler/energy/block.ts";
import { sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import { pulsedDevices, type PulsedDevice, type PulsedDeviceName }
  from "../../targets/pulsedDevices.ts";
import { keyOf, normalAt, uniformAt, type Key } from "../chip/normal.ts";
import { releaseAll, type Engine, type Held, type HeldMap } from "./engine.ts";
import { momentName, type Stepping } from "./optimiser.ts";

export const pulseRules = ["stochastic", "sign", "mixed-precision"] as const;
export type PulseRule = (typeof pulseRules)[number];

export interface PulsedUpdates {
  readonly rule: PulseRule;
  readonly device: PulsedDeviceName;
}

/** Pulses that one cell gets in one step, at most: the length of a train (aihwkit's default). */
const LONGEST_TRAIN = 31;
/** Share of the mean cell's range that the largest weight takes at the start. */
const FILL = 0.6;
const ACCUMULATOR = "accumulator";
/** Kept, so that a run that goes on has the cells that it began with. */
const SCALE = "scale";
/** Pulses that every cell has had, counted in float32: exact up to 2^24. */
const PULSES = "pulses";

/** What pulsed updates keep between steps, besides the parameters. */
export const pulsedMoments = (
  parameters: readonly ParameterSpec[], placed: ReadonlySet<string>, { rule }: PulsedUpdates,
): ParameterSpec[] => parameters.flatMap(({ name, shape }) =>
  (!placed.has(name) ? [] : [
    { name: momentName(name, SCALE), shape: [1] },
    { name: momentName(name, PULSES), shape },
    ...rule === "mixed-precision" ? [{ name: momentName(name, ACCUMULATOR), shape }] : [],
  ]));

/** Pulses that cells have had, of all parameters one after the other, from a run's tensors. */
export const pulseCounts = (
  tensors: ReadonlyMap<string, { readonly data: Float32Array }>,
): Float32Array[] => [...tensors]
  .filter(([name]) => name.startsWith(`${PULSES}.`)).map(([, { data }]) => data);

/** The cells of one parameter. */
export class PulsedCells {
  /** Model's weight of a weight 1 in the unit of the device. */
  readonly scale: number;
  readonly #device: PulsedDevice;
  readonly #up: Float32Array;
  readonly #down: Float32Array;
  readonly #upper: Float32Array;
  readonly #lower: Float32Array;

  /**
   * @param scale see above
   * @param key stream that the cells are drawn from
   */
  constructor(device: PulsedDevice, count: number, scale: number, key: Key) {
    const { step, upper, lower, asymmetry, stepSpread, boundSpread, asymmetrySpread } = device;
    this.#device = device;
    this.scale = scale;
    const draws = (name: string): (i: number) => number => {
      const own = keyOf(key[0], key[1], name);
      return (i) => normalAt(own, i);
    };
    const [size, bias, top, bottom] =
      [draws("step"), draws("asymmetry"), draws("upper"), draws("lower")];
    const all = (of: (i: number) => number): Float32Array =>
      Float32Array.from({ length: count }, (_, i) => of(i));
    const own = (i: number): number => step * Math.max(0, 1 + stepSpread * size(i));
    const tilt = (i: number): number => asymmetry + asymmetrySpread * bias(i);
    this.#up = all((i) => own(i) * Math.max(0, 1 + tilt(i)));
    this.#down = all((i) => own(i) * Math.max(0, 1 - tilt(i)));
    this.#upper = all((i) => upper * Math.max(0.05, 1 + boundSpread * top(i)));
    this.#lower = all((i) => lower * Math.max(0.05, 1 + boundSpread * bottom(i)));
  }

  /** The scale at which weights of this largest magnitude fill a good part of the range. */
  static scaleFor({ upper, lower }: PulsedDevice, largest: number): number {
    const reach = Math.min(upper, -lower);
    return largest > 0 && Number.isFinite(reach) ? largest / (FILL * reach) : 1;
  }

  /** Mean size of a pulse at weight 0, in the model's unit. */
  get step(): number {
    return this.#device.step * this.scale;
  }

  /**
   * A cell's weight after pulses, in the model's unit.
   * @param pulses signed number of them
   * @param noise stream of their spread; number `LONGEST_TRAIN i + k` is pulse k of cell i
   */
  after(i: number, weight: number, pulses: number, noise: Key): number {
    const { cycle } = this.#device;
    const [upper, lower] = [this.#upper[i] as number, this.#lower[i] as number];
    let w = weight / this.scale;
    for (let k = 0; k < Math.abs(pulses); k++) {
      const spread = cycle === 0 ? 1 : 1 + cycle * normalAt(noise, LONGEST_TRAIN * i + k);
      w += pulses > 0 ? (this.#up[i] as number) * (1 - w / upper) * spread
        : -(this.#down[i] as number) * (1 - w / lower) * spread;
      w = Math.min(Math.max(w, lower), upper);
    }
    return w * this.scale;
  }
}

/** Signed pulses for a wanted change, and what of it is left for later. */
type Rule = (wanted: number, step: number, uniform: () => number) =>
{ readonly pulses: number; readonly left: number };

const limited = (n: number): number => Math.min(Math.max(n, -LONGEST_TRAIN), LONGEST_TRAIN);

const rules: Record<PulseRule, Rule> = {
  stochastic: (wanted, step, uniform) => {
    const n = Math.abs(wanted) / step;
    const whole = Math.floor(n);
    const count = whole + (uniform() < n - whole ? 1 : 0);
    return { pulses: limited(Math.sign(wanted) * count), left: 0 };
  },
  sign: (wanted) => ({ pulses: Math.sign(wanted), left: 0 }),
  "mixed-precision": (wanted, step) => {
    const pulses = limited(Math.trunc(wanted / step));
    return { pulses, left: wanted - pulses * step };
  },
};

export interface PulsedOptions {
  readonly updates: PulsedUpdates;
  readonly seed: number;
  /** Names of the parameters that are on arrays. */
  readonly placed: ReadonlySet<string>;
  /** Factor on the learning rate, by parameter. */
  readonly rateOf: (name: string) => number;
}

/** Steps parameters by pulses; stands where an optimiser would. */
export class PulsedStepper implements Stepping {
  readonly #engine: Engine;
  readonly #updates: PulsedUpdates;
  readonly #seed: number;
  readonly #cells: ReadonlyMap<string, PulsedCells>;
  readonly #rates: (name: string) => number;
  #now: Map<string, Held>;

  private constructor(
    engine: Engine, { updates, seed, rateOf }: PulsedOptions,
    cells: ReadonlyMap<string, PulsedCells>, state: Map<string, Held>,
  ) {
    this.#engine = engine;
    this.#updates = updates;
    this.#seed = seed;
    this.#rates = rateOf;
    this.#cells = cells;
    this.#now = state;
  }

  /** @param state parameters and moments by name; the stepper owns them from here on */
  static async create(
    engine: Engine, parameters: readonly ParameterSpec[], options: PulsedOptions,
    state: Map<string, Held>,
  ): Promise<PulsedStepper> {
    const { updates, seed, placed } = options;
    const device: PulsedDevice = pulsedDevices[updates.device];
    const cells = new Map<string, PulsedCells>();
    for (const { name, shape } of parameters) {
      if (!placed.has(name)) continue;
      const kept = state.get(momentName(name, SCALE)) as Held;
      let [scale = 0] = (await engine.read(kept)).data;
      if (scale === 0) {
        const { data } = await engine.read(state.get(name) as Held);
        let largest = 0;
        for (const w of data) largest = Math.max(largest, Math.abs(w));
        scale = Math.fround(PulsedCells.scaleFor(device, largest));
        releaseAll(engine, [kept]);
        state.set(momentName(name, SCALE),
          engine.hold(tensor("float32", [1], Float32Array.of(scale))));
      }
      cells.set(name, new PulsedCells(device, sizeOf(shape), scale, keyOf(seed, "cells", name)));
    }
    return new PulsedStepper(engine, options, cells, state);
  }

  get state(): HeldMap {
    return this.#now;
  }

  async step(gradients: HeldMap, learningRate: number, t: number): Promise<void> {
    const next = new Map(this.#now);
    for (const [name, gradient] of gradients) {
      const held = this.#now.get(name) as Held;
      const weights = Float32Array.from((await this.#engine.read(held)).data);
      const { data } = await this.#engine.read(gradient);
      const rate = learningRate * this.#rates(name);
      const cells = this.#cells.get(name);
      if (cells) await this.#pulse(name, cells, weights, data, rate, t, next);
      else weights.forEach((w, i) => void (weights[i] = w - rate * (data[i] as number)));
      next.set(name, this.#engine.hold(tensor("float32", held.shape, weights)));
    }
    releaseAll(this.#engine, [...this.#now].filter(([name, held]) => next.get(name) !== held)
      .map(([, held]) => held));
    this.#now = next;
  }

  async #pulse(
    name: string, cells: PulsedCells, weights: Float32Array, gradient: ArrayLike<number>,
    rate: number, t: number, next: Map<string, Held>,
  ): Promise<void> {
    const rule = rules[this.#updates.rule];
    const key = keyOf(this.#seed, "pulses", name, t);
    const noise = keyOf(this.#seed, "pulse spread", name, t);
    const moment = momentName(name, ACCUMULATOR);
    const kept = this.#now.get(moment);
    const accumulated = kept && Float32Array.from((await this.#engine.read(kept)).data);
    const counter = this.#now.get(momentName(name, PULSES)) as Held;
    const counts = Float32Array.from((await this.#engine.read(counter)).data);
    weights.forEach((w, i) => {
      const wanted = (accumulated?.[i] ?? 0) - rate * (gradient[i] as number);
      const { pulses, left } = rule(wanted, cells.step, () => uniformAt(key, i));
      if (accumulated) accumulated[i] = left;
      if (pulses === 0) return;
      counts[i]! += Math.abs(pulses);
      weights[i] = cells.after(i, w, pulses, noise);
    });
    next.set(momentName(name, PULSES),
      this.#engine.hold(tensor("float32", counter.shape, counts)));
    if (accumulated && kept) {
      next.set(moment, this.#engine.hold(tensor("float32", kept.shape, accumulated)));
    }
  }

  replace(values: HeldMap): void {
    for (const [name, held] of values) {
      releaseAll(this.#engine, [this.#now.get(name) as Held]);
      this.#now.set(name, held);
    }
  }

  release(): void {
    releaseAll(this.#engine, this.#now.values());
  }
}
