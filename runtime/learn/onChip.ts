/**
 * A model whose products run on a simulated chip: where its parameters are weights of a product,
 * what the chip holds in their place. Forward and transposed reads may share an array (each is then
 * exactly the other's transpose, by reciprocity) or have one each, whose cells err independently.
 *
 * The chip is in the loop as the matrices that its arrays come to, drawn by `chip/chipWeights.ts`;
 * a chip may be drawn anew at every step, which is training for any chip (noise injection with a
 * straight-through gradient: what is learnt moves the weights that are wanted). Its converters are
 * in the graphs that read the arrays (`converted.ts`), with ranges found on samples whenever arrays
 * are written.
 */
import type { FfEbm, Stage } from "../../compiler/energy/ffEbm.ts";
import { verifyFfEbm } from "../../compiler/energy/ffEbm.ts";
import { copyName, untie } from "../../compiler/energy/field.ts";
import { InternalError, UserError } from "../../compiler/errors.ts";
import { tensor } from "../../compiler/graph/tensor.ts";
import { putOnChip, type HeldWeights, type WeightChip } from "../chip/chipWeights.ts";
import type { Solver } from "./blockRunner.ts";
import { converted, loopConverters, type Convert } from "./converted.ts";
import { releaseAll, type Engine, type Held, type HeldMap } from "./engine.ts";
import { Helpers } from "./helpers.ts";
import { packModel, type Packing } from "./packed.ts";
import { placedParameters, type Placed } from "./placed.ts";
import { Ranges, type RangeSamples } from "./ranges.ts";

export const readDirections = ["same", "separate"] as const;
/** Whether transposed reads use the array of the forward reads or one of their own. */
export type ReadDirections = (typeof readDirections)[number];

export const chipChoices = ["every-step", "one"] as const;
export type Chips = (typeof chipChoices)[number];

export interface LearningChip {
  readonly chip: WeightChip;
  readonly directions: ReadDirections;
  /** Whether every step of training meets another chip, or all of them chip 0. */
  readonly chips: Chips;
  /** Of inputs and outputs of its converters, instead of the target's. */
  readonly bits?: number | undefined;
}

export class OnChip {
  /** What runs: blocks untied where each direction has its own arrays. */
  readonly model: FfEbm;
  /** Puts the products of a graph behind the chip's converters; none without them. */
  readonly convert: Convert | undefined;
  readonly #engine: Engine;
  readonly #helpers: Helpers;
  readonly #learning: LearningChip;
  readonly #placed: ReadonlyMap<string, Placed>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  /** Parameter of the running model -> parameter that is trained. */
  readonly #origin: ReadonlyMap<string, string>;
  /** Parameters of the running model that are whole arrays. */
  readonly #packings: ReadonlyMap<string, Packing>;
  /** What the chip now in use adds to each weight. */
  #errors = new Map<string, Held>();
  /** By name, what arrays were last written with: reading them again writes nothing. */
  readonly #written = new Map<string, Written>();
  readonly #ranges: Ranges | undefined;
  /** Of the converters, as they were last set. */
  #set: Map<string, Held> | undefined;

  /**
   * @param solver of the free phases that converter ranges are found in
   * @throws UserError when the model has no product with weights in it
   */
  constructor(engine: Engine, model: FfEbm, learning: LearningChip, solver: Solver) {
    this.#engine = engine;
    this.#helpers = new Helpers(engine);
    this.#learning = learning;
    this.#placed = placedParameters(model);
    this.#shapes = new Map(model.parameters.map(({ name, shape }) => [name, shape]));
    if (this.#placed.size === 0) {
      throw new UserError(`${model.name} has no product with trained weights`, {
        place: "--chip", remedy: "leave --chip away, or give a model with dense or conv layers",
      });
    }
    const { model: packed, packings } = packModel(model, this.#placed, learning.chip.target);
    const { running, origin: copied } = learning.directions === "separate" ? untied(packed)
      : { running: packed, origin: new Map(packed.parameters.map(({ name }) => [name, name])) };
    const origin = new Map([...copied].map(([name, own]) =>
      [name, packings.get(own)?.parameter ?? own]));
    this.model = running;
    this.#origin = origin;
    this.#packings = new Map([...copied].flatMap(([name, own]) => {
      const packing = packings.get(own);
      return packing ? [[name, packing]] : [];
    }));
    const converters = loopConverters(learning.chip, learning.bits);
    if (!converters) return;
    const onArrays = new Set(running.parameters.map(({ name }) => name)
      .filter((name) => this.#placed.has(origin.get(name) as string)));
    this.#ranges = new Ranges(engine, running, solver, converters, onArrays);
    this.convert = (graph, own) =>
      converted(graph, new Set([...onArrays].filter((name) => own.has(name))), converters);
  }

  /**
   * What the chip holds when these parameters are wanted, and the ranges of its converters; to be
   * given back by `release`.
   * @param step decides which chip
   * @param samples that converter ranges are found on; they stay as they are without
   * @param read phases see different read noise by different numbers
   */
  async load(
    parameters: HeldMap, step: number, samples?: RangeSamples, read = 0,
  ): Promise<Map<string, Held>> {
    const loaded = await this.#loadChip(parameters, this.#isOne ? 0 : step, read);
    if (this.#ranges && samples) {
      releaseAll(this.#engine, this.#set?.values() ?? []);
      this.#set = await this.#ranges.find(loaded, samples);
    }
    return this.#withRanges(loaded);
  }

  #withRanges(loaded: Map<string, Held>): Map<string, Held> {
    if (!this.#ranges) return loaded;
    if (!this.#set) throw new InternalError("converters have no ranges yet");
    return new Map([...loaded, ...this.#set]);
  }

  /**
   * As `load`, on a chip that no step of training has seen, unless all are on one. Converters keep
   * the ranges that the last step set.
   */
  async loadUnseen(parameters: HeldMap, number: number): Promise<Map<string, Held>> {
    return this.#withRanges(
      await this.#loadChip(parameters, this.#isOne ? 0 : UNSEEN + number, 0));
  }

  get #isOne(): boolean {
    return this.#learning.chips === "one";
  }

  async #loadChip(parameters: HeldMap, trial: number, read: number): Promise<Map<string, Held>> {
    releaseAll(this.#engine, this.#errors.values());
    const { errors, arrays } = await this.#draw(parameters, trial, read);
    this.#errors = errors;
    const loaded = new Map([...this.model.parameters].map(({ name }) =>
      [name, parameters.get(this.#origin.get(name) as string) as Held]));
    for (const [name, error] of errors) {
      loaded.set(name, await this.#helpers.sum([loaded.get(name) as Held, error]));
    }
    return new Map([...loaded, ...arrays]);
  }

  /** Gives back what `load` made; the parameters that it was made from stay. */
  release(loaded: HeldMap): void {
    const made = [...this.#errors.keys(), ...this.#packings.keys()];
    releaseAll(this.#engine, made.map((name) => loaded.get(name) as Held));
  }

  /** Gradients of the parameters that are trained, from those of the running model. */
  async gradients(found: Map<string, Held>): Promise<Map<string, Held>> {
    const out = new Map<string, Held>();
    for (const [name, whole] of found) {
      const own = this.#origin.get(name) ?? name;
      const held = await this.#unpacked(name, whole);
      const before = out.get(own);
      if (!before) {
        out.set(own, held);
        continue;
      }
      out.set(own, await this.#helpers.sum([before, held]));
      releaseAll(this.#engine, [before, held]);
    }
    return out;
  }

  /** Of whole arrays, what belongs to the parameter; what it was taken from is given back. */
  async #unpacked(name: string, whole: Held): Promise<Held> {
    const packing = this.#packings.get(name);
    if (!packing) return whole;
    const shape = this.#shapes.get(packing.parameter) as readonly number[];
    const held = await this.#helpers.picked(packing.name, whole, packing.places, shape);
    releaseAll(this.#engine, [whole]);
    return held;
  }

  /** What is added to the weights of the chip, and arrays that stand in for weights. */
  async #draw(
    parameters: HeldMap, trial: number, read: number,
  ): Promise<{ readonly errors: Map<string, Held>; readonly arrays: Map<string, Held> }> {
    const errors = new Map<string, Held>();
    const arrays = new Map<string, Held>();
    const { chip } = this.#learning;
    for (const { name } of this.model.parameters) {
      const own = this.#origin.get(name) as string;
      const placed = this.#placed.get(own);
      if (!placed) continue;
      const { shape, data } = await this.#engine.read(parameters.get(own) as Held);
      const wanted = Float32Array.from({ length: data.length }, (_, i) =>
        data[placed.order?.[i] ?? i] as number);
      const packing = this.#packings.get(name);
      const before = this.#written.get(name);
      const held = before?.trial === trial && before.wanted.every((w, i) => w === wanted[i])
        ? before.held
        : putOnChip(chip, { name, ...placed, packed: packing !== undefined }, wanted, trial);
      this.#written.set(name, { trial, wanted, held });
      const seen = chip.imperfections.readNoise ? held.noisy(read) : held.weights;
      if (packing) {
        arrays.set(name, this.#engine.hold(tensor("float32", packing.shape, seen)));
        continue;
      }
      const error = new Float32Array(data.length);
      seen.forEach((w, i) => {
        error[placed.order?.[i] ?? i] = w - (wanted[i] as number);
      });
      errors.set(name, this.#engine.hold(tensor("float32", shape, error)));
    }
    return { errors, arrays };
  }

  /** Frees what is kept between steps. */
  destroy(): void {
    releaseAll(this.#engine, [...this.#errors.values(), ...this.#set?.values() ?? []]);
    this.#errors.clear();
    this.#written.clear();
    this.#set = undefined;
  }
}

/** Weights that were put on a chip. */
interface Written {
  readonly trial: number;
  readonly wanted: Float32Array;
  readonly held: HeldWeights;
}

/** Numbers of chips that no training step reaches. */
const UNSEEN = 2 ** 31;

/** The model with blocks that have a copy of every weight for each direction. */
function untied(model: FfEbm): { running: FfEbm; origin: Map<string, string> } {
  const origin = new Map<string, string>();
  const shapes = new Map(model.parameters.map(({ name, shape }) => [name, shape]));
  const stages = model.stages.map((stage): Stage => {
    if (stage.kind === "digital" || stage.block.kind === "field") return stage;
    const block = untie(stage.block);
    for (const { name } of stage.block.parameters) {
      for (const copy of block.states.map((state) => copyName(name, state.name))) {
        if (block.parameters.some((p) => p.name === copy)) origin.set(copy, name);
      }
    }
    return { ...stage, block };
  });
  const copied = new Set(origin.values());
  const parameters = [
    ...model.parameters.filter(({ name }) => !copied.has(name)),
    ...[...origin].map(([name, own]) => ({ name, shape: shapes.get(own) as readonly number[] })),
  ];
  for (const { name } of parameters) if (!origin.has(name)) origin.set(name, name);
  return { running: verifyFfEbm({ ...model, parameters, stages }), origin };
}
