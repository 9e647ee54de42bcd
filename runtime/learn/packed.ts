/**
 * A model whose grouped products multiply with whole arrays. Where several groups of a product
 * (kernels of a depthwise convolution) share an array, the cells between one group's rows and
 * another's columns hold zero; but some are stuck, and wires carry current past all of them, so
 * inputs of one group reach the outputs of its neighbours. No weight of the model can say that: the
 * array as a matrix can, and takes the weight's place.
 *
 * Which groups share an array is the tiling's answer (`compiler/partition/tiling.ts`); what the
 * matrix holds is `chip/chipWeights.ts`'s.
 */
import type { Block } from "../../compiler/energy/field.ts";
import {
  verifyFfEbm, type DigitalStage, type FfEbm, type Stage,
} from "../../compiler/energy/ffEbm.ts";
import type { Builder } from "../../compiler/graph/builder.ts";
import { isOp, type Graph, type Node, type Value } from "../../compiler/graph/graph.ts";
import { splitEvenly, tileGrid, type Span } from "../../compiler/partition/tiling.ts";
import { matrixView, type MatrixView } from "../../compiler/partition/units.ts";
import { rewrite } from "../../compiler/passes/rewrite.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import { cutEvenly, joinEvenly } from "../chip/even.ts";
import { operandOf, resultOf, type Heart } from "../chip/operand.ts";
import { placedProducts, type Placed } from "./placed.ts";

/** A parameter that lies on arrays which its groups share. */
export interface Packing {
  /** The parameter, and the one that holds its arrays as matrices. */
  readonly parameter: string;
  readonly name: string;
  /** Packs of groups, then outputs by group, then inputs by group, as the product takes them. */
  readonly shape: readonly number[];
  readonly packs: readonly Span[];
  readonly view: MatrixView;
  /** Where each element of the parameter lies among the elements of its arrays. */
  readonly places: Int32Array;
}

interface PackedProduct {
  readonly packing: Packing;
  /** Operand that holds the weights. */
  readonly side: 0 | 1;
}

/** The model with its packed products on whole arrays, and what is packed by the new names. */
export function packModel(
  model: FfEbm, placed: ReadonlyMap<string, Placed>, target: HybridTarget,
): { readonly model: FfEbm; readonly packings: ReadonlyMap<string, Packing> } {
  const packings = new Map<string, Packing>();
  const names = new Set([...placed].filter(([, { view }]) => view.groups > 1)
    .map(([name]) => name));
  const packed = (graph: Graph): Graph => {
    const found = new Map<Node, PackedProduct>();
    for (const [node, { parameter, side }] of placedProducts(graph, names)) {
      const own = packings.get(parameter) ??
        packingOf(parameter, placed.get(parameter) as Placed, node as Heart, target);
      if (!own || !isSameView(own.view, node as Heart, side)) continue;
      packings.set(parameter, own);
      found.set(node, { packing: own, side });
    }
    return found.size === 0 ? graph : withPacks(graph, found);
  };
  const digital = (stage: DigitalStage): DigitalStage => ({
    ...stage, graph: packed(stage.graph),
    ...stage.inference ? { inference: packed(stage.inference) } : {},
  });
  const stages = model.stages.map((stage): Stage => (stage.kind === "digital" ? digital(stage)
    : { ...stage, block: packedBlock(stage.block, packed) }));
  const loss = digital(model.loss);
  const used = new Set([...stages, loss].flatMap((stage) => (stage.kind === "digital"
    ? stage.graph.inputs.map(({ name }) => name)
    : stage.block.parameters.map(({ name }) => name))));
  const byName = new Map([...packings.values()].map((own) => [own.name, own]));
  if (byName.size === 0) return { model, packings: byName };
  const parameters = [
    ...model.parameters.filter(({ name }) => !packings.has(name) || used.has(name)),
    ...[...byName.values()].map(({ name, shape }) => ({ name, shape })),
  ];
  return { model: verifyFfEbm({ ...model, stages, loss, parameters }), packings: byName };
}

/** How a product's groups share arrays; undefined where none do. */
function packingOf(
  parameter: string, { view, order }: Placed, heart: Heart, target: HybridTarget,
): Packing | undefined {
  const { groups, rowsK, colsN, strides } = view;
  const grid = tileGrid({ name: parameter, ...view }, target);
  if (grid.groupsPerTile === 1) return undefined;
  const packs = splitEvenly(groups, grid.groupTiles);
  const each = (packs[0] as Span).count;
  const weights = heart.inputs[1] as Value;
  const shape = isOp(heart, "conv")
    ? [packs.length * each * colsN, each * (weights.type.shape[1] as number),
      ...weights.type.shape.slice(2) as number[]]
    : [packs.length, each * colsN, each * rowsK];
  const places = new Int32Array(groups * colsN * rowsK);
  packs.forEach(({ start, count }, pack) => {
    for (let g = 0; g < count; g++) {
      for (let o = 0; o < colsN; o++) {
        const line = ((pack * each + g) * colsN + o) * each * rowsK + g * rowsK;
        const first = (start + g) * strides.group + o * strides.output;
        for (let k = 0; k < rowsK; k++) {
          const at = first + k * strides.input;
          places[order?.[at] ?? at] = line + k;
        }
      }
    }
  });
  return { parameter, name: `${parameter} packed`, shape, packs, view, places };
}

function isSameView(
  { groups, rowsK, colsN, strides }: MatrixView, heart: Heart, side: 0 | 1,
): boolean {
  const own = matrixView(heart, side, (heart.inputs[side] as Value).type.shape as number[]);
  return own.groups === groups && own.rowsK === rowsK && own.colsN === colsN &&
    own.strides.group === strides.group && own.strides.input === strides.input &&
    own.strides.output === strides.output;
}

/** Products on whole arrays; parameters that nothing reads any more are no inputs. */
function withPacks(graph: Graph, products: ReadonlyMap<Node, PackedProduct>): Graph {
  const arrays = new Map<string, Value>();
  const made = rewrite(graph, ({ b, node, inputs }) => {
    const product = products.get(node);
    if (!product) return undefined;
    const { side, packing, packing: { name, shape } } = product;
    const array = arrays.get(name) ?? b.input(name, { dtype: "float32", shape });
    arrays.set(name, array);
    const heart = node as Heart;
    const x = inputs[1 - side] as Value;
    return isOp(heart, "conv") ? packedConv(b, heart, x, array, packing)
      : packedDot(b, { heart, input: 1 - side }, x, array, packing);
  });
  const read = new Set(made.nodes.flatMap((node) => node.inputs)
    .concat(made.outputs.map(({ value }) => value)));
  const gone = new Set([...products.values()].map(({ packing }) => packing.parameter));
  return { ...made, inputs: made.inputs.filter((v) => read.has(v) || !gone.has(v.name)) };
}

/** x: [N, groups*C, ..] -> [N, groups*colsN, ..]. */
function packedConv(
  b: Builder, heart: Node<"conv">, x: Value, array: Value, { packs, view }: Packing,
): Value {
  const { groups, colsN } = view;
  const [batch, channels, ...space] = x.type.shape;
  const split = b.reshape(x, [batch!, groups, (channels as number) / groups, ...space]);
  const cut = cutEvenly(b, split, 1, packs.length);
  const [, packed, each, perGroup] = cut.type.shape as [never, number, number, number];
  const wide = b.reshape(cut, [batch!, packed * each * perGroup, ...space]);
  const y = b.add("conv", [wide, array], { ...heart.attrs, groups: packed });
  const outs = y.type.shape.slice(2);
  const apart = b.reshape(y, [batch!, packed, each, colsN, ...outs]);
  return b.reshape(joinEvenly(b, apart, 1, groups), [batch!, groups * colsN, ...outs]);
}

function packedDot(
  b: Builder, place: { heart: Heart; input: number }, x: Value, array: Value,
  { packs, view }: Packing,
): Value {
  const { groups, rowsK, colsN } = view;
  const { value, depth } = operandOf(b, place, x);
  const positions = value.type.shape.slice(1 + depth);
  const flat = b.reshape(value, [groups, rowsK, ...positions]);
  const cut = cutEvenly(b, flat, 0, packs.length);
  const [packed, each] = cut.type.shape as [number, number];
  const y = b.dot(array, b.reshape(cut, [packed, each * rowsK, ...positions]), 1, 1);
  const apart = b.reshape(y, [packed, each, colsN, ...positions]);
  return resultOf(b, place, joinEvenly(b, apart, 0, groups));
}

function packedBlock(block: Block, packed: (graph: Graph) => Graph): Block {
  const before = block.kind === "energy" ? block.interaction : block.field;
  const after = packed(before);
  if (after === before) return block;
  const known = new Set([...block.states, block.current].map(({ name }) => name));
  const parameters = after.inputs.filter(({ name }) => !known.has(name))
    .map(({ name, type }) => ({ name, shape: type.shape as readonly number[] }));
  return block.kind === "energy" ? { ...block, parameters, interaction: after }
    : { ...block, parameters, field: after };
}
