/**
 * Looks at the column currents of a block before they are converted: for calibrating ranges, and
 * for counting conversions that clip. On the host and value by value, so on as many samples of a
 * batch as give a few million currents; how many were looked at is part of what is reported.
 */
import { bindInputs } from "../../compiler/graph/evaluate.ts";
import { evalShape, symbolsOf, type Dim } from "../../compiler/graph/dim.ts";
import type { Graph, Value } from "../../compiler/graph/graph.ts";
import { sizeOf } from "../../compiler/graph/tensor.ts";
import type { DeviceTensor, Feed } from "../execute/session.ts";
import type { BlockChip } from "./blockChip.ts";
import type { Pass } from "./passes.ts";

/** Conversions of one tile. */
export interface Saturation {
  readonly tile: string;
  /** Outside the range of the column's own converter by more than half a code. */
  readonly clipped: number;
  readonly conversions: number;
}

/** Currents that are looked at in one go. */
const MOST_CURRENTS = 2 ** 22;

/** Values [from, to) of `currents` are of one column, all positions. */
type See = (
  pass: Pass, slice: number, currents: Float32Array, from: number, to: number,
) => void;

/**
 * Shows the currents of a block to `see`, column by column, or counts what clips.
 * @param run as for `BlockChip.run`: the same noise
 */
export async function observeBlock(
  block: BlockChip, inputs: ReadonlyMap<string, DeviceTensor>, see?: See, run = 0,
): Promise<Saturation[]> {
  const feeds = await firstSamples(block, inputs);
  const passes = await block.currents(feeds, run);
  const { columns, slices, sides } = block.layout;
  const counts = new Map<string, { clipped: number; conversions: number }>();
  passes.forEach((values, index) => {
    const pass = block.passes[index] as Pass;
    const rows = block.layout.chunks * columns;
    const positions = values.length / rows;
    for (let row = 0; row < rows; row++) {
      const [chunk, column] = [Math.floor(row / columns), row % columns];
      const tile = block.tileOf(chunk, column);
      if (tile === undefined) continue;
      const slice = Math.floor(column / sides) % slices;
      const spans = [...block.productsOf(chunk, positions)].map(([from, to]) =>
        [row * positions + from, row * positions + to] as const);
      if (see) {
        for (const [from, to] of spans) see(pass, slice, values, from, to);
        continue;
      }
      const { low, high } = block.currentLimits(pass, chunk, column);
      const held = counts.get(tile) ?? { clipped: 0, conversions: 0 };
      for (const [from, to] of spans) {
        for (let i = from; i < to; i++) {
          const v = values[i] as number;
          if (v < low || v > high) held.clipped++;
        }
        held.conversions += to - from;
      }
      counts.set(tile, held);
    }
  });
  return [...counts].map(([tile, held]) => ({ tile, ...held }));
}

/** As many samples as there is room for; all where the batch is not the leading axis. */
async function firstSamples(
  block: BlockChip, inputs: ReadonlyMap<string, DeviceTensor>,
): Promise<Map<string, Feed>> {
  const declared = block.graph.inputs;
  const shape = await block.currentsShape();
  const shapes = new Map(declared.map((v) =>
    [v.name, (inputs.get(v.name) as DeviceTensor).shape]));
  const bindings = bindInputs(block.graph, shapes);
  const batch = batchSymbol(declared);
  const total = (bound: Record<string, number>): number =>
    sizeOf(evalShape(shape, bound)) * block.passes.length;
  const whole = new Map<string, Feed>(inputs);
  if (batch === undefined || total(bindings) <= MOST_CURRENTS) return whole;
  const perSample = total({ ...bindings, [batch]: 1 });
  const samples = Math.max(1, Math.floor(MOST_CURRENTS / perSample));
  if (samples >= (bindings[batch] as number)) return whole;
  for (const v of declared) {
    const held = inputs.get(v.name) as DeviceTensor;
    if (symbolsOf(v.type.shape[0] ?? 1).length === 0) continue;
    const cut = [samples, ...held.shape.slice(1)];
    whole.set(v.name, await block.readInput({ ...held, shape: cut }, v.type.dtype));
  }
  return whole;
}

/**
 * Shape of a block's output for as many samples as give `most` elements; of all samples where the
 * batch is not its leading axis.
 */
export function firstOutputs(
  graph: Graph, inputs: ReadonlyMap<string, DeviceTensor>, most: number,
): number[] {
  const bindings = bindInputs(graph, new Map([...inputs].map(([name, { shape }]) =>
    [name, shape])));
  const declared = (graph.outputs[0] as { value: Value }).value.type.shape;
  const shape = evalShape(declared, bindings);
  const symbol = batchSymbol([...graph.inputs, (graph.outputs[0] as { value: Value }).value]);
  if (symbol === undefined) return shape;
  const perSample = Math.max(1, sizeOf(shape.slice(1)));
  const samples = Math.min(shape[0] as number, Math.max(1, Math.floor(most / perSample)));
  return [samples, ...shape.slice(1)];
}

/** The symbol that is the leading axis, alone, of every input that has symbols. */
function batchSymbol(inputs: readonly Value[]): string | undefined {
  const leading = new Set<string | undefined>();
  for (const { type: { shape } } of inputs) {
    const [first, ...rest] = shape as [Dim, ...Dim[]];
    const symbols = shape.flatMap(symbolsOf);
    if (symbols.length === 0) continue;
    const isPlain = typeof first === "object" && String(first) === symbols[0];
    leading.add(isPlain && rest.flatMap(symbolsOf).length === 0 ? symbols[0] : undefined);
  }
  return leading.size === 1 ? [...leading][0] : undefined;
}
