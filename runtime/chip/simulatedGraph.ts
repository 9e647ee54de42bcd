/**
 * A block's graph with its contraction replaced by what the arrays do with it, out of primitives:
 * inputs quantised, cut into digits, multiplied tile by tile, disturbed, converted, shifted, added
 * and scaled; the epilogue stays as it was. It compiles and runs like any other graph, so the chip
 * is the same on every device. Which numbers the constants hold is for `blockChip.ts` to say.
 *
 * Without converters a product is one read with the inputs as they are, and nothing is rounded.
 */
import { Builder } from "../../compiler/graph/builder.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import type { Graph, Value } from "../../compiler/graph/graph.ts";
import { newData, sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import { copyNode, prune } from "../../compiler/passes/rewrite.ts";
import { range } from "./axes.ts";
import { codeRange, type CodeRange } from "./converters.ts";
import { cutEvenly, joinEvenly } from "./even.ts";
import type { BlockLayout } from "./layout.ts";
import { normals } from "./normal.ts";
import { operandOf, overPositions, resultOf, type Operand, type Place } from "./operand.ts";
import { inputRange, type Pass } from "./passes.ts";
import { approximated, magnitudeBits } from "./successiveApproximation.ts";
import { powerStep, wholePulses, wholeSquares, type WholePower } from "./wholeVariance.ts";

/** What a simulated product is made of. */
export interface ProductPlan {
  readonly config: CrossbarConfig;
  readonly layout: BlockLayout;
  readonly passes: readonly Pass[];
  readonly converters: boolean;
  readonly noise: boolean;
  /** Gain or offset differ from converter to converter. */
  readonly mismatch: boolean;
  /** Rows are read as stored words: digits, never currents. */
  readonly sensed: boolean;
  /** Powers of the inputs beyond the first that cells answer to; none where they are linear. */
  readonly powers: readonly number[];
  /** Share of a full weight that is taken off digitally, times the sum of a group's inputs. */
  readonly digitalZero: number;
}

/** Names of the constants and inputs that the simulation sets. */
export interface PlanNames {
  readonly weights: string;
  /** One for every power of the plan. */
  readonly terms: readonly string[];
  /** Of each output; folded into the weights where there is none. */
  readonly outputScale?: string;
  /** In whole steps of their columns, and the steps: `wholeVariance.ts`. */
  readonly variance?: string;
  readonly varianceUnit?: string;
  readonly thermal?: string;
  /** Per kind of conversion: codes per unit of column current, and units per code. */
  readonly codesPerUnit: readonly string[];
  readonly unitsPerCode: readonly string[];
  readonly codeOffset?: string;
  /** Per kind, with converters by successive approximation: `ConverterBank.capacitors`. */
  readonly capacitors: readonly string[];
  /** Inputs of the graph: [1] quantisation steps per unit of input; [passes, 2] random keys. */
  readonly stepsPerUnit?: string;
  readonly keys?: string;
}

export interface SimulatedGraph {
  readonly graph: Graph;
  readonly names: PlanNames;
  /** Values to be given memory. */
  readonly boundaries: ReadonlySet<Value>;
}

/** Name of the output that holds the column currents of a pass. */
export const currentsName = (pass: number): string => `currents ${pass}`;

/**
 * @param observe adds the column currents before conversion as outputs, [chunks, columns,
 *   positions..] per pass
 */
export function simulatedGraph(
  block: Graph, place: Place, plan: ProductPlan, observe: boolean,
): SimulatedGraph {
  const b = new Builder(block.name);
  const mapped = new Map<Value, Value>();
  for (const v of block.inputs) mapped.set(v, b.input(v.name, v.type));
  let product: Product | undefined;
  for (const node of block.nodes) {
    const output = node.outputs[0] as Value;
    const inputs = node.inputs.map((v) => mapped.get(v) as Value);
    if (node.id !== place.heart.id) {
      mapped.set(output, copyNode(b, node, inputs));
      continue;
    }
    product = b.from(node.origin, () =>
      new Product(b, plan, place, inputs[place.input] as Value));
    mapped.set(output, product.result);
  }
  const { names, boundaries, currents } = product as Product;
  const outputs = block.outputs.map(({ name, value }) =>
    ({ name, value: mapped.get(value) as Value }));
  const observed = observe
    ? currents.map((value, i) => ({ name: currentsName(i), value })) : [];
  return { graph: prune(b.finish([...outputs, ...observed])), names, boundaries };
}

/** The input as whole numbers; `steps` is the input of the graph that says how many to a unit. */
export function quantised(
  b: Builder, x: Value, { converters, config }: ProductPlan,
): { value: Value; steps?: Value } {
  if (!converters) return { value: x };
  const steps = b.input("chip.steps", { dtype: "float32", shape: [1] });
  const { low, high } = inputRange(config.input);
  const rounded = b.unary("round", b.mul(x, steps));
  return { value: b.min(b.max(rounded, b.full(rounded, low)), b.full(rounded, high)), steps };
}

class Product {
  readonly names: PlanNames;
  readonly boundaries = new Set<Value>();
  /** Per pass: what the converters see. */
  readonly currents: Value[] = [];
  readonly result: Value;

  readonly #b: Builder;
  readonly #plan: ProductPlan;
  readonly #names: { -readonly [K in keyof PlanNames]: PlanNames[K] } =
    { weights: "", terms: [], codesPerUnit: [], unitsPerCode: [], capacitors: [] };

  constructor(
    b: Builder, plan: ProductPlan, place: Place, x: Value,
  ) {
    this.#b = b;
    this.#plan = plan;
    const { value, steps } = quantised(b, x, plan);
    if (steps) this.#names.stepsPerUnit = steps.name;
    const { value: summed, total } = this.#columns(place, value);
    const y = this.#combined(summed, total);
    this.result = resultOf(b, place, y);
    this.names = this.#names;
  }

  /** A constant of the simulation; its elements are set later. */
  #constant(
    name: string, shape: readonly number[], dtype: "float32" | "int16" = "float32",
  ): { value: Value; name: string } {
    // A constant of one element would be written into the kernels.
    const padded = sizeOf(shape) === 1 ? [...shape.slice(0, -1), 2] : shape;
    const held = tensor(dtype, padded, newData(dtype, sizeOf(padded)));
    const value = this.#b.constant(held, `chip.${name}`);
    const used = padded === shape ? value
      : this.#b.slice(value, shape.map(() => 0), shape);
    return { value: used, name: value.name };
  }

  /** An operand [groups, K.., positions..] as [chunks, rows.., positions..]. */
  #chunked({ value, depth }: Operand): Operand & { readonly copied: boolean } {
    const b = this.#b;
    const { packs, groupsPerPack, rowTiles, reads, rows, rowsPerTile, groups, copies, rowsK } =
      this.#plan.layout;
    const { shape } = value.type;
    const [k, positions] = [shape.slice(1, 1 + depth), shape.slice(1 + depth)];
    const even = groups === packs.length * groupsPerPack;
    if (rowTiles.length === 1 && reads === 1 && even) {
      return groupsPerPack === 1 ? { value, depth, copied: false } : {
        value: b.reshape(value, [packs.length, groupsPerPack, ...k, ...positions]),
        depth: 1 + depth, copied: false,
      };
    }
    const flat = b.reshape(value, [copies, groups / copies, rowsK, ...positions]);
    // Packs have one row tile; groups with several row tiles have packs of their own.
    const isCut = rowTiles.length > 1;
    const cut = isCut ? cutEvenly(b, flat, 2, rowTiles.length)
      : cutEvenly(b, flat, 1, packs.length / copies);
    const tiles = packs.length * rowTiles.length;
    const longest = sizeOf(cut.type.shape.slice(isCut ? 3 : 2, 4) as number[]);
    const joined = b.reshape(cut, [tiles, longest, ...positions]);
    const zeros = joined.type.shape.map(() => 0);
    const padded = b.pad(joined, zeros, zeros.with(1, rowsPerTile - longest), 0);
    const chunks = b.reshape(padded, [tiles * reads, rows, ...positions]);
    return { value: chunks, depth: 1, copied: true };
  }

  /**
   * The digital sum over passes of what the converters say of every column, in levels times
   * digits, [chunks, columns, positions..]; and the sum of every group's inputs if that is needed.
   */
  #columns(
    place: Place, quantised: Value,
  ): { value: Value; total: Value | undefined } {
    const b = this.#b;
    const { passes, layout, converters, sensed, powers, digitalZero } = this.#plan;
    const whole = operandOf(b, place, quantised);
    const chunked = this.#chunked(whole);
    const { chunks, columns } = layout;
    const inner = chunked.value.type.shape.slice(1, 1 + chunked.depth) as number[];
    const weights = this.#constant("weights", [chunks, columns, layout.rows]);
    this.#names.weights = weights.name;
    const matrix = b.reshape(weights.value, [chunks, columns, ...inner]);
    const terms = powers.map((power) => {
      const { value, name } = this.#constant(`term${power}`, [chunks, columns, layout.rows]);
      return { power, name, matrix: b.reshape(value, [chunks, columns, ...inner]) };
    });
    this.#names.terms = terms.map(({ name }) => name);
    const positions = chunked.value.type.shape.slice(1 + chunked.depth);
    const shape = [chunks, columns, ...positions];

    const product = (m: Value, x: Value): Value => b.dot(m, x, 1, chunked.depth);
    let sum: Value | undefined;
    const add = (part: Value): void => {
      sum = sum ? b.addition(sum, part) : part;
    };
    /** Column currents of amplitudes of so many steps (which set the thermal noise as well). */
    const currentOf = (x: Value, steps: number): Value =>
      terms.reduce((sum, { power, matrix: own }) => {
        let driven = x;
        for (let n = 1; n < power; n++) driven = b.mul(driven, b.mul(x, b.full(x, 1 / steps)));
        return b.addition(sum, product(own, driven));
      }, product(matrix, x));
    if (chunked.copied) this.boundaries.add(chunked.value);
    /** The digits of a pass: of the copy, where there is one, else of the input before windows. */
    const driven = (digits: (x: Value) => Value): Value => chunked.copied
      ? digits(chunked.value)
      : this.#chunked(operandOf(b, place, digits(quantised))).value;

    if (!converters || sensed) {
      const current = currentOf(chunked.value, 1);
      const noisy = this.#plan.noise
        ? this.#noisy(current, this.#squares(place, quantised), { inner, shape, product, pass: 0 })
        : current;
      this.currents.push(noisy);
      add(noisy);
    } else {
      const tables = this.#converterTables();
      passes.forEach((pass, index) => {
        const digits = driven((x) => pass.digits(b, x));
        const current = currentOf(digits, pass.thermal);
        const power = (): WholePower => ({
          whole: driven((x) => wholePulses(b, pass.power(b, pass.digits(b, x)), pass)),
          step: b.scalar("float32", powerStep(pass)),
        });
        const noisy = this.#plan.noise
          ? this.#noisy(current, power(), { inner, shape, product, pass: index, of: pass })
          : current;
        this.currents.push(noisy);
        add(this.#converted(noisy, pass, tables, shape));
      });
    }
    const total = digitalZero === 0 ? undefined : b.reduce("sum", whole.value,
      range(1, 1 + whole.depth));
    return { value: sum as Value, total };
  }

  /** What inputs that are not quantised drive rows with, and what a step is worth at a position. */
  #squares(place: Place, x: Value): WholePower {
    const b = this.#b;
    const { whole, step } = wholeSquares(b, place, x);
    const { value, copied } = this.#chunked(operandOf(b, place, whole));
    if (copied) this.boundaries.add(value);
    return { whole: value, step: overPositions(b, place, step, this.#plan.layout.chunks) };
  }

  /** A column current with the noise of one read. */
  #noisy(
    current: Value, power: WholePower,
    { inner, shape, product, pass, of }: {
      inner: readonly number[]; shape: readonly Dim[]; pass: number; of?: Pass;
      product: (m: Value, x: Value) => Value;
    },
  ): Value {
    const { layout, passes, converters } = this.#plan;
    const b = this.#b;
    const { chunks, columns, rows } = layout;
    if (!this.#names.variance) {
      this.#variance = this.#constant("variance", [chunks, columns, rows], "int16");
      this.#unit = this.#constant("varianceUnit", [chunks, columns]);
      this.#thermal = this.#constant("thermal", [chunks, columns]);
      this.#keys = b.input("chip.keys", {
        dtype: "uint32", shape: [converters ? passes.length : 1, 2],
      });
      this.#names.variance = this.#variance.name;
      this.#names.varianceUnit = this.#unit.name;
      this.#names.thermal = this.#thermal.name;
      this.#names.keys = this.#keys.name;
    }
    const variance = this.#variance as { value: Value };
    const thermal = this.#overPositions((this.#thermal as { value: Value }).value, shape);
    const whole = product(
      b.cast(b.reshape(variance.value, [chunks, columns, ...inner]), "int32"),
      b.cast(power.whole, "int32"));
    const unit = this.#overPositions((this.#unit as { value: Value }).value, shape);
    const step = b.broadcast(power.step, shape);
    const perCell = b.mul(b.cast(whole, "float32"), b.mul(unit, step));
    const floor = of ? b.mul(thermal, b.full(thermal, of.thermal ** 2)) : thermal;
    const sigma = b.unary("sqrt", b.addition(perCell, floor));
    const keys = this.#keys as Value;
    const key = b.reshape(b.slice(keys, [pass, 0], [1, 2]), [2]);
    return b.addition(current, b.mul(sigma, normals(b, key, shape)));
  }
  #variance: { value: Value; name: string } | undefined;
  #unit: { value: Value; name: string } | undefined;
  #thermal: { value: Value; name: string } | undefined;
  #keys: Value | undefined;

  /** [chunks or 1, columns] -> the shape of all columns at all positions. */
  #overPositions(table: Value, shape: readonly Dim[]): Value {
    const b = this.#b;
    const ones = shape.slice(2).map(() => 1);
    return b.broadcast(b.reshape(table, [...table.type.shape, ...ones]), shape);
  }

  #converterTables(): ConverterTables {
    const { config, passes, layout, mismatch } = this.#plan;
    const kinds = Math.max(...passes.map((p) => p.kind)) + 1;
    const { chunks, columns } = layout;
    const perKind = (name: string, rows: number): { values: Value[]; names: string[] } => {
      const made = Array.from({ length: kinds }, (_, kind) =>
        this.#constant(`${name}${kind}`, [rows, columns]));
      return { values: made.map((m) => m.value), names: made.map((m) => m.name) };
    };
    const codes = perKind("codes", mismatch ? chunks : 1);
    const units = perKind("units", 1);
    const offset = mismatch ? this.#constant("offset", [chunks, columns]) : undefined;
    const ladders = config.converter.successiveApproximation === undefined ? []
      : Array.from({ length: kinds }, (_, kind) => {
        const own = passes.find((p) => p.kind === kind) as Pass;
        const bits = magnitudeBits(codeRange(config, own));
        return this.#constant(`capacitors${kind}`, [bits + 1, chunks, columns]);
      });
    this.#names.codesPerUnit = codes.names;
    this.#names.capacitors = ladders.map(({ name }) => name);
    this.#names.unitsPerCode = units.names;
    if (offset) this.#names.codeOffset = offset.name;
    return {
      codes: codes.values, units: units.values, offset: offset?.value,
      ladders: ladders.map(({ value }) => value),
    };
  }

  /** clip(round(gain v / lsb + offset)), in units again and weighed for the digital sum. */
  #converted(
    current: Value, pass: Pass, { codes, units, offset, ladders }: ConverterTables,
    shape: readonly Dim[],
  ): Value {
    const b = this.#b;
    const range = codeRange(this.#plan.config, pass);
    const at = (table: Value): Value => this.#overPositions(table, shape);
    const scaled = b.mul(current, at(codes[pass.kind] as Value));
    const shifted = offset ? b.addition(scaled, at(offset)) : scaled;
    const ladder = ladders[pass.kind];
    const code = ladder ? this.#approximated(shifted, ladder, range, at)
      : b.unary("round", b.min(b.max(shifted, b.full(shifted, range.low)),
        b.full(shifted, range.high)));
    const weighed = b.mul(code, b.full(code, pass.weight));
    return b.mul(weighed, at(units[pass.kind] as Value));
  }

  /** @param ladder capacitors and offsets of a kind, [bits + 1, chunks, columns] */
  #approximated(
    x: Value, ladder: Value, range: CodeRange, at: (table: Value) => Value,
  ): Value {
    const b = this.#b;
    const { chunks, columns } = this.#plan.layout;
    const bits = magnitudeBits(range);
    const row = (k: number): Value =>
      at(b.reshape(b.slice(ladder, [k, 0, 0], [1, chunks, columns]), [chunks, columns]));
    return approximated(b, x, {
      capacitors: Array.from({ length: bits }, (_, k) => row(k)), offset: row(bits),
      isSigned: range.low < 0,
      openLoopGain: this.#plan.config.converter.successiveApproximation?.openLoopGain,
    });
  }

  /** Slices, sides and row tiles added up: [groups, colsN, positions..], as the layer's values. */
  #combined(summed: Value, total: Value | undefined): Value {
    const b = this.#b;
    const { layout, config, digitalZero } = this.#plan;
    const { packs, rowTiles, reads, groupsPerPack, colsN, slices, sides, groups, copies } = layout;
    const positions = summed.type.shape.slice(2);
    const apart = b.reshape(summed, [
      packs.length, rowTiles.length * reads, groupsPerPack, colsN, slices, sides, ...positions,
    ]);
    const { significance, bits } = config.encoding;
    const span = bits === "continuous" ? 1 : 2 ** bits - 1;
    // Columns count in levels; a full weight is `span` of them in every slice.
    const factors = Float32Array.from({ length: slices * sides }, (_, i) =>
      ((significance[Math.floor(i / sides)] as number) / span) * (i % sides === 1 ? -1 : 1));
    const ones = positions.map(() => 1);
    const table = b.constant(tensor("float32", [slices, sides, ...ones], factors), "chip.slices");
    const weighed = b.mul(apart, b.broadcast(table, apart.type.shape));
    const added = b.reduce("sum", weighed, [1, 4, 5]);
    const packed = b.reshape(added,
      [copies, packs.length / copies, groupsPerPack, colsN, ...positions]);
    const perGroup = b.reshape(joinEvenly(b, packed, 1, groups / copies),
      [groups, colsN, ...positions]);
    let zeroed = perGroup;
    if (total) {
      const zero = b.reshape(b.mul(total, b.full(total, digitalZero)), [groups, 1, ...positions]);
      zeroed = b.sub(perGroup, zero);
    }
    const scale = this.#constant("scale", [groups, colsN]);
    this.#names.outputScale = scale.name;
    return b.mul(zeroed, this.#overPositions(scale.value, zeroed.type.shape));
  }
}

interface ConverterTables {
  readonly codes: readonly Value[];
  readonly units: readonly Value[];
  readonly offset: Value | undefined;
  /** None where converters are quantisers. */
  readonly ladders: readonly Value[];
}
