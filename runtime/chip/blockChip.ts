/**
 * One analog block on a simulated chip: its tiles programmed, its converters ranged, and the
 * sessions that run it. Which blocks there are, what samples they see and when they run is the
 * business of `chipSimulator.ts`.
 */
import { encodingFrom } from "../../compiler/emit/crossbar/emit.ts";
import type { Encoding } from "../../compiler/emit/crossbar/encoding.ts";
import { InternalError, UserError } from "../../compiler/errors.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import type { DType } from "../../compiler/graph/dtype.ts";
import type { Graph, Value } from "../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import { prune } from "../../compiler/passes/rewrite.ts";
import type { Device, DeviceBuffer } from "../device/device.ts";
import { Session, type DeviceTensor, type Feed } from "../execute/session.ts";
import { ConverterBank, hasMismatch } from "./converterBank.ts";
import { converterLsbs, type Lsbs } from "./converters.ts";
import { productsOf, type Deal } from "./deal.ts";
import {
  foldedGraph, foldedPlan, foldMatrices, isFoldable, type FoldedMatrices,
} from "./foldedProduct.ts";
import { storedWeights, type BlockDescription } from "./idealBlock.ts";
import { layoutOf, tilesByColumn, type BlockLayout } from "./layout.ts";
import { LastingNoise, outlastsRuns } from "./lastingNoise.ts";
import { lawTerms } from "./nonlinear.ts";
import { keyOf } from "./normal.ts";
import { dealAt, findHeart, type Place } from "./operand.ts";
import { inputRange, passesOf, type Pass } from "./passes.ts";
import {
  programBlock, trialsDiffer, type ChipSetting,
} from "./programBlock.ts";
import { scalesOf, type BlockArrays } from "./replicas.ts";
import {
  currentsName, simulatedGraph, type PlanNames, type ProductPlan,
} from "./simulatedGraph.ts";
import type { BlockMatrices } from "./tileMatrix.ts";
import { powerSteps, SQUARE_STEPS, wholeVariances } from "./wholeVariance.ts";
import type { WriteReport } from "./writeVerify.ts";

/** A session with the names under which the simulation sets its constants. */
interface Simulated {
  readonly session: Session;
  readonly names: PlanNames;
}

type Inputs = ReadonlyMap<string, Feed>;

export class BlockChip {
  readonly id: string;
  readonly graph: Graph;
  readonly layout: BlockLayout;
  readonly passes: readonly Pass[];
  /** Whether the product is one contraction, what its columns add up to folded into weights. */
  readonly folds: boolean;

  readonly #device: Device;
  readonly #block: BlockDescription;
  readonly #setting: ChipSetting;
  readonly #encoding: Encoding;
  readonly #place: Place;
  readonly #deal: Deal;
  readonly #plan: ProductPlan;
  readonly #scales: Float32Array;
  readonly #output: string;

  #run: Simulated | undefined;
  #observer: Simulated | undefined;
  #drive: Session | undefined;
  #trial: number | undefined;
  #matrices: BlockMatrices | undefined;
  /** Noise that outlasts a run, and the run whose noise the weights have; see `#comeTo`. */
  #lasting: LastingNoise | undefined;
  #moment: number | undefined;
  /** Largest magnitude of the inputs that calibration has seen. */
  #largest = 0;
  #lsbs: Lsbs | undefined;

  /** @throws UserError when the target combines what has no meaning together */
  constructor(device: Device, block: BlockDescription, setting: ChipSetting) {
    const { crossbar, graph } = block;
    const { config, imperfections } = setting;
    this.id = crossbar.id;
    this.graph = graph;
    this.#device = device;
    this.#block = block;
    this.#setting = setting;
    this.#encoding = encodingFrom(config);
    const { copies = 1 } = crossbar;
    this.#place = { ...findHeart(graph, crossbar.weights.name), copies };
    this.#deal = dealAt(this.#place);
    this.#scales = scalesOf(crossbar, setting.read);
    this.#output = (graph.outputs[0] as { name: string }).name;
    this.layout = layoutOf(config, crossbar);
    this.passes = passesOf(config);
    const { scheme, subtract, zero } = config.encoding;
    const sensed = config.input.coding === "digital";
    this.#plan = {
      config, layout: this.layout, passes: this.passes, sensed,
      converters: imperfections.converters,
      noise: imperfections.readNoise && !sensed,
      powers: lawTerms({ ...setting, input: config.input }).map(({ power }) => power),
      mismatch: hasMismatch(config.converter),
      digitalZero: scheme === "offset" && (sensed || subtract === "digital") ? zero : 0,
    };
    this.folds = isFoldable(this.#plan);
  }

  /** Whether ranges have to be set by samples before the block can run. */
  get needsCalibration(): boolean {
    const { converters, noise, powers } = this.#plan;
    return converters || noise || powers.length > 0;
  }

  /** True when converters round and clip column currents. */
  get converts(): boolean {
    return this.#plan.converters && !this.#plan.sensed;
  }

  /** Whether folded weights are those of several copies. */
  get #foldsCopies(): boolean {
    return this.folds && this.layout.copies > 1;
  }

  /** Value of one code per kind of conversion and slice, once set. */
  get lsbs(): Lsbs | undefined {
    return this.#lsbs;
  }

  // ---- programming and ranges --------------------------------------------------------------

  /**
   * Programs all tiles as chip number `trial`, unless that is what they are.
   * @param owner the block whose tiles these are too, programmed before
   */
  program(trial: number, owner?: BlockChip): void {
    const before = this.#trial;
    this.#trial = trial;
    if (before !== trial) [this.#lasting, this.#moment] = [owner?.lasting(), undefined];
    if (before === trial || (before !== undefined && !trialsDiffer(this.#setting))) return;
    this.#matrices = owner ? owner.#matrices :
      programBlock(storedWeights(this.#block), this.#setting, this.layout, trial, this.#plan.noise);
    this.#setAll();
  }

  /** The noise of this chip's cells that outlasts a run. */
  lasting(): LastingNoise | undefined {
    if (!this.#plan.noise || !outlastsRuns(this.#setting)) return undefined;
    const key = keyOf(this.#setting.seed, "lasting", this.#trial as number, this.id);
    return this.#lasting ??= new LastingNoise(
      this.#setting, this.#matrices as BlockMatrices, key);
  }

  /** Brings the cells to the time of a run: noise that outlasts it is part of what they are. */
  #comeTo(run: number): void {
    if (!this.lasting() || this.#moment === run) return;
    this.#moment = run;
    this.#setAll();
  }

  /** The matrices at the time of the last run; as programmed, before the first. */
  #present(): BlockMatrices {
    const matrices = this.#matrices as BlockMatrices;
    const noise = this.lasting();
    if (!noise) return matrices;
    const time = (this.#moment ?? 0) * (this.#setting.runInterval as number);
    return { ...matrices, weights: noise.weightsAt(time) };
  }

  /** How tiles of this block's own were written; empty without a budget of pulses. */
  get writes(): readonly WriteReport[] {
    return this.#block.crossbar.sharedWith === undefined ? this.#matrices?.writes ?? [] : [];
  }

  /**
   * Widens the input range to what samples drive the rows with.
   * @throws UserError when the target's inputs are unsigned and the samples are not
   */
  seeInputs(values: Float32Array): void {
    const { input, target } = this.#setting.config;
    const onlyPositive = input.sign === "unsigned" && this.#plan.converters;
    for (const v of values) {
      if (v < 0 && onlyPositive) {
        throw new UserError(`block ${this.id} has negative inputs, the target's are unsigned`, {
          place: `target ${target.name}: input.sign`,
          remedy: "Use sign-magnitude or two's complement inputs.",
        });
      }
      this.#largest = Math.max(this.#largest, Math.abs(v));
    }
    this.#setAll();
  }

  /** Sets converter ranges; `observed`: magnitude per kind and slice, where samples decide. */
  setRanges(observed: readonly (readonly number[])[]): void {
    this.#lsbs = converterLsbs(
      this.#setting.config, this.#encoding, this.layout, this.passes, observed);
    this.#setAll();
  }

  #setAll(): void {
    for (const one of [this.#run, this.#observer]) if (one) this.#set(one);
  }

  #set({ session, names }: Simulated): void {
    const put = (
      name: string | undefined, data: Float32Array | Int16Array | undefined,
    ): void => {
      if (name === undefined || !data) return;
      // A constant of one element has a second one beside it, see `simulatedGraph.ts`.
      const padded = data.length === 1 ? [data[0] as number, 0] : data;
      const dtype = data instanceof Int16Array ? "int16" : "float32";
      session.setConstant(name, tensor(dtype, [padded.length], padded));
    };
    const matrices = this.#present();
    const { converters, digitalZero } = this.#plan;
    const unit = this.#encoding.gain * (converters ? this.#inputStep() : 1);
    const scales = this.#scales.map((s) => s * unit);
    const { crossbar } = this.#block;
    const held = !this.folds ? this.#unfolded(matrices) : foldMatrices(matrices, {
      layout: this.layout, encoding: this.#encoding, scales, digitalZero,
      crossbar: this.#foldsCopies ? inOrder(crossbar) : crossbar,
    });
    put(names.weights, held.weights);
    names.terms.forEach((name, i) => {
      const { power, weights } = matrices.terms[i] as BlockMatrices["terms"][number];
      // Digits come as shares of their largest; without converters inputs come as they are.
      const unit = converters || this.#largest === 0 ? 1 : this.#largest ** (1 - power);
      put(name, weights.map((w) => w * unit));
    });
    put(names.variance, held.variance);
    put(names.varianceUnit, held.varianceUnit);
    // Without converters the largest input takes the read voltage.
    const perRead = converters ? 1 : this.#largest ** 2;
    put(names.thermal, held.thermal?.map((x) => x * perRead));
    // Folded weights are scaled already.
    put(names.outputScale, this.folds ? scales.map(() => 1) : scales);
    if (names.codesPerUnit.length > 0) this.#setConverters(names, put);
  }

  /** The matrices as they are, with the variances of every column in steps of its own. */
  #unfolded(matrices: BlockMatrices): FoldedMatrices {
    const { chunks, columns, rows } = this.layout;
    const columnOf = Int32Array.from({ length: chunks * columns * rows },
      (_, i) => Math.floor(i / rows));
    const largest = this.#plan.converters ? Math.max(...this.passes.map(powerSteps))
      : SQUARE_STEPS;
    const held = matrices.variance &&
      wholeVariances(matrices.variance, columnOf, chunks * columns, largest);
    const { weights, thermal } = matrices;
    return { weights, variance: held?.whole, varianceUnit: held?.units, thermal };
  }

  /** Value of one step of the quantised input. */
  #inputStep(): number {
    const { high } = inputRange(this.#setting.config.input);
    return this.#largest > 0 ? this.#largest / high : 1;
  }

  #setConverters(
    names: PlanNames, put: (name: string | undefined, data: Float32Array) => void,
  ): void {
    const { columns } = this.layout;
    const bank = this.#converters();
    const mismatch = this.#plan.mismatch ? bank : undefined;
    names.unitsPerCode.forEach((name, kind) => put(name,
      Float32Array.from({ length: columns }, (_, column) => this.#lsbOf(kind, column))));
    const count = mismatch ? mismatch.gain.length : columns;
    names.codesPerUnit.forEach((name, kind) => put(name,
      Float32Array.from({ length: count }, (_, i) =>
        (mismatch?.gain[i] ?? 1) / this.#lsbOf(kind, i % columns))));
    if (mismatch) put(names.codeOffset, mismatch.offset);
    names.capacitors.forEach((name, kind) => put(name, bank.capacitors[kind] as Float32Array));
  }

  /** Value of one code; before the first range is set, one code per unit. */
  #lsbOf(kind: number, column: number): number {
    const { slices, sides } = this.layout;
    return this.#lsbs?.[kind]?.[Math.floor(column / sides) % slices] ?? 1;
  }

  /** The converters of the present chip. */
  #converters(): ConverterBank {
    const trial = this.#trial as number;
    if (this.#bank?.trial !== trial) {
      const { config, seed } = this.#setting;
      const bank = new ConverterBank(
        config, this.#block.crossbar, this.layout, this.passes, seed, trial);
      this.#bank = { trial, bank };
    }
    return this.#bank.bank;
  }
  #bank: { readonly trial: number; readonly bank: ConverterBank } | undefined;

  // ---- running -----------------------------------------------------------------------------

  async #simulated(observe: boolean): Promise<Simulated> {
    const known = observe ? this.#observer : this.#run;
    if (known) return known;
    if (!this.#matrices) throw new InternalError(`block ${this.id} was not programmed`);
    const { graph, names, boundaries } = this.folds && !this.#foldsCopies
      ? foldedGraph(this.graph, this.#place, this.#plan)
      : simulatedGraph(this.graph, this.#place,
        this.#foldsCopies ? foldedPlan(this.#plan) : this.#plan, observe);
    const session = await Session.create(this.#device, buildProgram(graph, { boundaries }));
    const made = { session, names };
    this.#set(made);
    if (observe) this.#observer = made;
    else this.#run = made;
    return made;
  }

  /** Compiles what runs the block; it must be programmed. */
  async prepare(): Promise<void> {
    await this.#simulated(false);
  }

  /** The block's inputs and those that the simulation adds. */
  #feeds(names: PlanNames, inputs: Inputs, run: number): Map<string, Feed> {
    const feeds = new Map(inputs);
    if (names.stepsPerUnit !== undefined) {
      const steps = Float32Array.of(1 / this.#inputStep());
      feeds.set(names.stepsPerUnit, tensor("float32", [1], steps));
    }
    if (names.keys !== undefined) {
      const { seed } = this.#setting;
      const count = this.#plan.converters ? this.passes.length : 1;
      const keys = Array.from({ length: count }, (_, pass) =>
        keyOf(seed, "read", this.#trial as number, this.id, run, pass));
      feeds.set(names.keys, tensor("uint32", [count, 2], Uint32Array.from(keys.flat())));
    }
    return feeds;
  }

  /**
   * Runs the block on the chip.
   * @param run number of this run since programming: read noise differs from run to run
   * @param output memory of the result
   */
  async run(inputs: Inputs, run: number, output: DeviceBuffer): Promise<DeviceTensor> {
    if (this.needsCalibration && !this.#lsbs) {
      throw new InternalError(`block ${this.id} runs before it was calibrated`);
    }
    const { session, names } = await this.#simulated(false);
    this.#comeTo(run);
    const held = await session.dispatch(
      this.#feeds(names, inputs, run), new Map([[this.#output, output]]));
    return held.get(this.#output) as DeviceTensor;
  }

  /** Column currents of every pass before conversion, [chunks, columns, positions..]. */
  async currents(inputs: Inputs, run: number): Promise<Float32Array[]> {
    const { session, names } = await this.#simulated(true);
    this.#comeTo(run);
    const held = await session.dispatch(this.#feeds(names, inputs, run));
    const out: Float32Array[] = [];
    for (let pass = 0; held.has(currentsName(pass)); pass++) {
      const one = held.get(currentsName(pass)) as DeviceTensor;
      out.push((await session.readTensor(one, "float32")).data as Float32Array);
    }
    return out;
  }

  /** Shape of the currents of one pass, symbols included. */
  async currentsShape(): Promise<readonly Dim[]> {
    const { session: { program } } = await this.#simulated(true);
    const found = program.outputs.find((o) => o.name === currentsName(0));
    return program.buffers[found?.buffer as number]?.shape as readonly Dim[];
  }

  /** Name of the tile behind a column of a chunk; undefined for padding. */
  tileOf(chunk: number, column: number): string | undefined {
    this.#tiles ??= tilesByColumn(this.layout, this.#block.crossbar);
    return this.#tiles[chunk * this.layout.columns + column];
  }
  #tiles: readonly (string | undefined)[] | undefined;

  /** Positions of a chunk's currents, of so many, at which there are products. */
  productsOf(chunk: number, positions: number): Iterable<readonly [from: number, to: number]> {
    const { chunks, copies } = this.layout;
    return productsOf(this.#deal, Math.floor(chunk / (chunks / copies)), positions);
  }

  /** Currents of a column between which its converter does not clip in a pass. */
  currentLimits(
    pass: Pass, chunk: number, column: number,
  ): { low: number; high: number } {
    const { low, high } = this.#converters().limits(pass, chunk * this.layout.columns + column);
    const lsb = this.#lsbOf(pass.kind, column);
    return { low: low * lsb, high: high * lsb };
  }

  /** Copies an input of the block to the host. */
  async readInput(held: DeviceTensor, dtype: DType): Promise<Tensor> {
    return (await this.#simulated(true)).session.readTensor(held, dtype);
  }

  /** Elements of a result of this block. */
  async read(held: DeviceTensor): Promise<Float32Array> {
    const { session } = await this.#simulated(false);
    return (await session.readTensor(held, "float32")).data as Float32Array;
  }

  /** What drives the rows, before windows are taken. */
  async drive(inputs: Inputs): Promise<Float32Array> {
    if (!this.#drive) {
      const value = this.#place.heart.inputs[this.#place.input] as Value;
      const graph = { ...this.graph, outputs: [{ name: "drive", value }] };
      this.#drive = await Session.create(this.#device, buildProgram(prune(graph)));
    }
    const held = await this.#drive.run(inputs);
    return (held.get("drive") as Tensor).data as Float32Array;
  }

  /** Frees the memory on the device. */
  release(): void {
    for (const one of [this.#run?.session, this.#observer?.session, this.#drive]) one?.release();
    this.#run = this.#observer = this.#drive = undefined;
  }
}

/** A block whose weights lie group by group, output by output. */
function inOrder(block: BlockArrays): BlockArrays {
  const { rowsK, colsN } = block.matrix;
  const strides = { group: rowsK * colsN, output: rowsK, input: 1 };
  return { ...block, matrix: { ...block.matrix, strides } };
}
