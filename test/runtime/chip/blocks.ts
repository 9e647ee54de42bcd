/** Random blocks of every kind, compiled the way the compiler does it. */
import { emitCrossbars } from "../../../compiler/emit/crossbar/emit.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { formClusters } from "../../../compiler/kernels/cluster.ts";
import { formHybrid, type AnalogBlock } from "../../../compiler/partition/hybrid.ts";
import { formUnits } from "../../../compiler/partition/units.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import type { BlockDescription } from "../../../runtime/chip/idealBlock.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import type { ChipSetting } from "../../../runtime/chip/programBlock.ts";
import { arraysOf } from "../../../runtime/chip/replicas.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { loadTarget, targetFromJson } from "../../../runtime/files/targetFiles.ts";
import type { Device as CellDevice } from "../../../targets/device.ts";
import type { HybridTarget } from "../../../targets/schema.ts";
import { second } from "../../../targets/units.ts";
import { Random } from "../../support/randomGraph.ts";
import { loopsOf } from "./tileOracle.ts";

/** What a test needs of a target. */
export interface TestTarget {
  readonly target: HybridTarget;
  readonly cells: CellDevice;
}

type Json = Record<string, unknown>;

/** A preset with some entries replaced; numbers become figures of the old entry's unit. */
export function testTarget(
  name: string, changes: Readonly<Record<string, unknown>> = {},
): TestTarget {
  const loaded = loadTarget(name);
  const json = structuredClone(loaded.json) as Json;
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const last = keys.pop() as string;
    const parent = keys.reduce<Json>((node, key) => node[key] as Json, json);
    const old = parent[last] as Json | undefined;
    const unit = old?.unit ?? (last.endsWith("Spread") ? "1" : "count");
    parent[last] = typeof value !== "number" ? value
      : { value, unit, source: "assumed: for a test" };
  }
  const { target, device } = targetFromJson(json, loaded.path);
  if (target.kind !== "hybrid" || !device) throw new Error(`${name} is digital`);
  return { target, cells: device };
}

/** A random contraction with an epilogue; the batch is a symbol. */
export interface Case {
  readonly name: string;
  readonly graph: Graph;
  readonly inputs: ReadonlyMap<string, Tensor>;
}

const relu = (b: Builder, v: Value): Value => b.max(v, b.full(v, 0));

function conv(r: Random, oneDimensional: boolean, groups: number): Case {
  const b = new Builder("conv");
  const [channels, outputs] = [r.int(1, 4) * groups, r.int(1, 5) * groups];
  const n = oneDimensional ? 1 : 2;
  const each = (low: number, high: number): number[] =>
    Array.from({ length: n }, () => r.int(low, high));
  const [taps, strides, dilations] = [each(1, 3), each(1, 2), each(1, 2)];
  const [low, high] = [each(0, 2), each(0, 2)];
  const extents = taps.map((k, i) => (k - 1) * (dilations[i] as number) + r.int(1, 4));
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), channels, ...extents] });
  const w = b.constant(r.tensor([outputs, channels / groups, ...taps]), "w");
  const bias = b.constant(r.tensor([1, outputs, ...taps.map(() => 1)]), "bias");
  const y = b.add("conv", [x, w], { strides, dilations, low, high, groups });
  const value = relu(b, b.addition(y, bias));
  const input = r.tensor([r.int(1, 3), channels, ...extents], -0.7, 1);
  return {
    name: `conv ${channels}->${outputs}/${groups} [${taps}] stride ${strides} pad ${low},${high}`,
    graph: b.finish([{ name: "y", value }]), inputs: new Map([["x", input]]),
  };
}

function right(r: Random): Case {
  const b = new Builder("right");
  const k = r.shape(2, 5).map((d) => Math.max(d, 1));
  const free = [r.int(1, 9)];
  const rows = r.int(1, 3);
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), rows, ...k] });
  const w = b.constant(r.tensor([...k, ...free]), "w");
  const value = relu(b, b.dot(x, w, 0, k.length));
  return {
    name: `x w [${k}]->[${free}]`, graph: b.finish([{ name: "y", value }]),
    inputs: new Map([["x", r.tensor([r.int(1, 4), rows, ...k])]]),
  };
}

function left(r: Random): Case {
  const b = new Builder("left");
  const [k, m] = [r.int(1, 30), r.int(1, 9)];
  const x = b.input("x", { dtype: "float32", shape: [k, symbol("N")] });
  const w = b.constant(r.tensor([m, k]), "w");
  return {
    name: `w x [${m}, ${k}]`, graph: b.finish([{ name: "y", value: b.dot(w, x, 0, 1) }]),
    inputs: new Map([["x", r.tensor([k, r.int(1, 4)])]]),
  };
}

function batched(r: Random, weightsLeft: boolean): Case {
  const b = new Builder("batched");
  const [groups, k, free] = [[r.int(1, 3), r.int(1, 2)], r.int(1, 20), r.int(1, 6)];
  const n = r.int(1, 4);
  const shape = weightsLeft ? [...groups, k, n] : [...groups, n, k];
  const x = b.input("x", { dtype: "float32", shape });
  const w = b.constant(r.tensor(weightsLeft ? [...groups, free, k] : [...groups, k, free]), "w");
  const value = weightsLeft ? b.dot(w, x, 2, 1) : b.dot(x, w, 2, 1);
  return {
    name: `batched ${weightsLeft ? "w x" : "x w"} [${groups}] ${k}->${free}`,
    graph: b.finish([{ name: "y", value }]), inputs: new Map([["x", r.tensor(shape)]]),
  };
}

/** x [N, inputs] times a matrix with given weights, row by row, and nothing behind it. */
export function product(
  inputs: number, outputs: number, weight: (i: number, o: number) => number,
): Case {
  const b = new Builder("product");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), inputs] });
  const values = Float32Array.from({ length: inputs * outputs }, (_, flat) =>
    weight(Math.floor(flat / outputs), flat % outputs));
  const w = b.constant(tensor("float32", [inputs, outputs], values), "w");
  const rows = tensor("float32", [1, inputs], new Float32Array(inputs).fill(1));
  return {
    name: `${inputs} x ${outputs}`, inputs: new Map([["x", rows]]),
    graph: b.finish([{ name: "y", value: b.dot(x, w, 0, 1) }]),
  };
}

/** One case of each kind. */
export function randomCases(seed: number): Case[] {
  const r = new Random(seed);
  return [
    conv(r, false, 1), conv(r, true, 1), conv(r, false, 2), conv(r, true, r.int(3, 7)),
    right(r), left(r), batched(r, false), batched(r, true),
  ];
}

export interface CompiledBlock {
  readonly block: BlockDescription;
  readonly setting: ChipSetting;
}

/** The only analog block of a graph on a target, with the imperfections that are named. */
export function compileBlock(
  graph: Graph, { target, cells }: TestTarget, only: readonly Imperfection[],
  options: { readonly seed?: number; readonly time?: number; readonly copies?: number } = {},
): CompiledBlock {
  const units = formUnits(formClusters(graph, { maxBuffers: 8 }));
  const hybrid = formHybrid(graph, units, units.map((u) => (u.analog ? "analog" : "digital")));
  const blocks = hybrid.segments.filter((s): s is AnalogBlock => s.kind === "analog");
  if (blocks.length !== 1) throw new Error(`${blocks.length} blocks`);
  const crossbars = emitCrossbars(hybrid, target,
    new Map(units.map(({ id }) => [id, options.copies ?? 1])));
  const stored = new Map(crossbars.tensors.map((t) => [t.name, [...t.chunks()][0]!]));
  const { temperature, bandwidth, read } = target.noise;
  return {
    block: { graph: blocks[0]!.graph, crossbar: arraysOf(crossbars.config.blocks[0]!) },
    setting: {
      config: crossbars.config, cells, imperfections: imperfections(only),
      seed: options.seed ?? 1, time: second(options.time ?? 1), read: (name) => stored.get(name)!,
      noise: { temperature: temperature.value, bandwidth: bandwidth.value, read: read.value },
    },
  };
}

/** What a block gives on chip `trial`, its ranges set by the very inputs. */
export async function runBlock(
  { block, setting }: CompiledBlock, inputs: ReadonlyMap<string, Tensor>, size: number, trial = 0,
): Promise<Float32Array> {
  const device = new InterpreterDevice();
  const chip = new BlockChip(device, block, setting);
  chip.program(trial);
  const { drive } = loopsOf(block.graph, block.crossbar.weights.name, inputs);
  chip.seeInputs(drive.data as Float32Array);
  chip.setRanges([]);
  const out = await chip.read(await chip.run(inputs, 0, device.allocate(size)));
  chip.release();
  return out.slice();
}
