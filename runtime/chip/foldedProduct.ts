/**
 * The product of a block whose columns are not converted one by one, as one contraction: what
 * slices, sides, row tiles and reads add up to is folded into effective weights beforehand, so the
 * chip costs what the digital product costs. Read noise stays exact: independent normal currents
 * add up to one normal current, whose variance is a second contraction of the same shape, of the
 * squared inputs with the variances of the effective weights, in small integers
 * (`wholeVariance.ts`).
 *
 * Not for columns that are rounded and clipped apart (`simulatedGraph.ts`), nor for tiles that
 * several groups share, whose cells between groups leak from one to the other.
 */
import { Builder } from "../../compiler/graph/builder.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import { isOp, type Graph, type Node, type Value } from "../../compiler/graph/graph.ts";
import { newData, sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import type { CrossbarBlock } from "../../compiler/emit/crossbar/config.ts";
import type { Encoding } from "../../compiler/emit/crossbar/encoding.ts";
import { splitEvenly } from "../../compiler/partition/tiling.ts";
import { copyNode, prune } from "../../compiler/passes/rewrite.ts";
import type { BlockLayout } from "./layout.ts";
import { normals } from "./normal.ts";
import type { Heart } from "./operand.ts";
import { quantised, type ProductPlan, type SimulatedGraph } from "./simulatedGraph.ts";
import type { BlockMatrices } from "./tileMatrix.ts";
import { SQUARE_STEPS, wholeSquares, wholeVariances } from "./wholeVariance.ts";

/** Whether a product can be one contraction. */
export function isFoldable({ converters, sensed, layout, powers }: ProductPlan): boolean {
  const { groups, groupsPerPack, rowsK, colsN } = layout;
  // Constants of one element are written into kernels; these must stay outside.
  const hasArrays = groups * colsN > 1 && groups * rowsK * colsN > 1;
  return (!converters || sensed) && powers.length === 0 && groupsPerPack === 1 && hasArrays;
}

/**
 * The plan of a product whose columns are folded, for layers with copies, whose weights are no
 * longer those of one contraction: an array per group, which holds the effective weights.
 */
export function foldedPlan(plan: ProductPlan): ProductPlan {
  const { layout, config } = plan;
  const { groups, rowsK, colsN } = layout;
  return {
    ...plan, digitalZero: 0,
    layout: {
      ...layout, slices: 1, sides: 1, reads: 1, rows: rowsK, rowsPerTile: rowsK,
      packs: splitEvenly(groups, groups), rowTiles: splitEvenly(rowsK, 1),
      chunks: groups, columns: colsN,
    },
    config: { ...config, encoding: { ...config.encoding, significance: [1], bits: "continuous" } },
  };
}

/** The block's graph with its weights replaced by a constant, and noise where the plan has it. */
export function foldedGraph(
  block: Graph, place: { heart: Heart; input: number }, plan: ProductPlan,
): SimulatedGraph {
  const b = new Builder(block.name);
  const mapped = new Map<Value, Value>();
  const names: { -readonly [K in keyof SimulatedGraph["names"]]: SimulatedGraph["names"][K] } =
    { weights: "", terms: [], codesPerUnit: [], unitsPerCode: [], capacitors: [] };
  const boundaries = new Set<Value>();
  const constant = (
    name: string, shape: readonly Dim[], dtype: "float32" | "int16" = "float32",
  ): Value => {
    const fixed = shape as readonly number[];
    return b.constant(tensor(dtype, fixed, newData(dtype, sizeOf(fixed))), `chip.${name}`);
  };
  for (const v of block.inputs) mapped.set(v, b.input(v.name, v.type));
  for (const node of block.nodes) {
    const inputs = node.inputs.map((v) => mapped.get(v) as Value);
    const output = node.outputs[0] as Value;
    if (node.id !== place.heart.id) {
      mapped.set(output, copyNode(b, node, inputs));
      continue;
    }
    const shape = (inputs[1 - place.input] as Value).type.shape;
    const times = (weights: Value, x: Value): Value =>
      copyNode(b, node, place.input === 0 ? [x, weights] : [weights, x]);
    const { value: x, steps } = quantised(b, inputs[place.input] as Value, plan);
    if (steps) names.stepsPerUnit = steps.name;
    const weights = constant("weights", shape);
    names.weights = weights.name;
    const y = times(weights, x);
    if (!plan.noise) {
      mapped.set(output, y);
      continue;
    }
    const variance = constant("variance", shape, "int16");
    const unit = constant("varianceUnit", columnShape(place, shape));
    const thermal = constant("thermal", columnShape(place, shape));
    const keys = b.input("chip.keys", { dtype: "uint32", shape: [1, 2] });
    [names.variance, names.varianceUnit, names.thermal, names.keys] =
      [variance.name, unit.name, thermal.name, keys.name];
    mapped.set(output, b.from(node.origin, () => {
      const { whole, step } = wholeSquares(b, place, x);
      const sum = b.cast(times(b.cast(variance, "int32"), b.cast(whole, "int32")), "float32");
      const overAll = (table: Value): Value => b.broadcast(table, y.type.shape);
      const perSample = b.reshape(step, sampleShape(place, step, shape.length));
      const perCell = b.mul(sum, b.mul(overAll(perSample), overAll(unit)));
      const sigma = b.unary("sqrt", b.addition(perCell, overAll(thermal)));
      const drawn = normals(b, b.reshape(keys, [2]), y.type.shape);
      return b.addition(y, b.mul(sigma, drawn));
    }));
  }
  const outputs = block.outputs.map(({ name, value }) =>
    ({ name, value: mapped.get(value) as Value }));
  return { graph: prune(b.finish(outputs)), names, boundaries };
}

/** One number per column of every group, in a shape that spreads over the contraction's result. */
function columnShape(
  { heart, input }: { heart: Heart; input: number }, weights: readonly Dim[],
): Dim[] {
  const rank = (heart.outputs[0] as Value).type.shape.length;
  if (isOp(heart, "conv")) return [1, weights[0] as Dim, ...weights.slice(2).map(() => 1)];
  const { batch, contract } = (heart as Node<"dot">).attrs;
  const groups = weights.slice(0, batch);
  const free = input === 0 ? weights.slice(batch + contract)
    : weights.slice(batch, weights.length - contract);
  const ones = new Array<Dim>(rank - batch - free.length).fill(1);
  return input === 0 ? [...groups, ...ones, ...free] : [...groups, ...free, ...ones];
}

/** One number per sample, in a shape that spreads over the contraction's result. */
function sampleShape(
  { heart, input }: { heart: Heart; input: number }, { type }: Value, weightsRank: number,
): Dim[] {
  const rank = (heart.outputs[0] as Value).type.shape.length;
  const before = isOp(heart, "conv") ? 0
    : input === 0 ? heart.attrs.batch : weightsRank - heart.attrs.contract;
  const after = rank - before - type.shape.length;
  return [...new Array<Dim>(before).fill(1), ...type.shape, ...new Array<Dim>(after).fill(1)];
}

/** Constants of the folded graph. */
export interface FoldedMatrices {
  /** In the order of the block's weight tensor. */
  readonly weights: Float32Array;
  readonly variance: Int16Array | undefined;
  /** Of the variances, [groups, outputs]. */
  readonly varianceUnit: Float32Array | undefined;
  /** [groups, outputs]; for a read with a digit of 1. */
  readonly thermal: Float32Array | undefined;
}

export interface FoldRule {
  readonly layout: BlockLayout;
  readonly encoding: Encoding;
  readonly crossbar: CrossbarBlock;
  /** Output per unit of a full weight, [groups, outputs]. */
  readonly scales: Float32Array;
  /** Share of a full weight that is taken off digitally. */
  readonly digitalZero: number;
}

/** Adds up the columns, row tiles and reads that make one output. */
export function foldMatrices(matrices: BlockMatrices, rule: FoldRule): FoldedMatrices {
  const { layout, encoding, crossbar, scales, digitalZero } = rule;
  const { groups, rowsK, colsN, slices, sides, rowTiles, reads, rows, columns } = layout;
  const { strides } = crossbar.matrix;
  const levels = encoding.bits === "continuous" ? 1 : 2 ** encoding.bits - 1;
  const size = sizeOf(crossbar.weights.shape);
  const weights = new Float64Array(size);
  const variance = matrices.variance && new Float64Array(size);
  const thermal = matrices.thermal && new Float64Array(groups * colsN);
  const columnOf = new Int32Array(size);
  const outputs = slices * sides;
  const factors = Array.from({ length: outputs }, (_, i) =>
    ((encoding.significance[Math.floor(i / sides)] as number) / levels) * (i % sides ? -1 : 1));
  /** Calls `take` with every column of an output in a chunk: row of the matrices, and its share. */
  const eachColumn = (
    chunk: number, group: number, output: number, take: (row: number, factor: number) => void,
  ): void => {
    const scale = scales[group * colsN + output] as number;
    for (let i = 0; i < outputs; i++) {
      take(chunk * columns + output * outputs + i, scale * (factors[i] as number));
    }
  };
  for (let group = 0; group < groups; group++) {
    rowTiles.forEach(({ start, count }, tile) => {
      const first = (group * rowTiles.length + tile) * reads;
      for (let output = 0; output < colsN; output++) {
        const base = group * strides.group + output * strides.output;
        for (let r = 0; r < count; r++) {
          const at = base + (start + r) * strides.input;
          columnOf[at] = group * colsN + output;
          eachColumn(first + Math.floor(r / rows), group, output, (row, factor) => {
            const cell = row * rows + (r % rows);
            weights[at]! += factor * (matrices.weights[cell] as number);
            if (variance) variance[at]! += factor ** 2 * (matrices.variance?.[cell] as number);
          });
        }
        for (let read = 0; thermal && read < reads; read++) {
          eachColumn(first + read, group, output, (row, factor) => {
            thermal[group * colsN + output]! +=
              factor ** 2 * (matrices.thermal?.[row] as number);
          });
        }
      }
    });
    for (let output = 0; digitalZero !== 0 && output < colsN; output++) {
      const zero = digitalZero * (scales[group * colsN + output] as number);
      for (let k = 0; k < rowsK; k++) {
        weights[group * strides.group + k * strides.input + output * strides.output]! -= zero;
      }
    }
  }
  const held = variance && wholeVariances(variance, columnOf, groups * colsN, SQUARE_STEPS);
  return {
    weights: Float32Array.from(weights), variance: held?.whole, varianceUnit: held?.units,
    thermal: thermal && Float32Array.from(thermal),
  };
}
