/** A small network with three analog blocks, compiled and ready to run on a device. */
import { emitCrossbars } from "../../../compiler/emit/crossbar/emit.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { formClusters } from "../../../compiler/kernels/cluster.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { formHybrid, unitsInOrder, type AnalogBlock } from "../../../compiler/partition/hybrid.ts";
import { formUnits } from "../../../compiler/partition/units.ts";
import type { ChipSource } from "../../../runtime/chip/chipSimulator.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { HybridSession } from "../../../runtime/execute/hybridSession.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { Random } from "../../support/randomGraph.ts";
import type { TestTarget } from "./blocks.ts";

export interface TestNetwork {
  readonly hybrid: HybridSession;
  readonly source: ChipSource;
  /** Random images. */
  samples(count: number, seed: number): ReadonlyMap<string, Tensor>;
}

/** conv 3x3 - relu - maximum over windows - conv - relu - product. */
function smallNetwork(): Graph {
  const r = new Random(77);
  const b = new Builder("network");
  const N = symbol("N");
  const x = b.input("x", { dtype: "float32", shape: [N, 2, 8, 8] });
  const bias = (n: number, rank: number) =>
    b.constant(r.tensor([1, n, ...new Array<number>(rank).fill(1)], -0.1, 0.1), `bias${n}`);
  const conv = (v: typeof x, from: number, to: number, pad: number): typeof x => {
    const w = b.constant(r.tensor([to, from, 3, 3], -0.4, 0.5), `w${to}`);
    const y = b.add("conv", [v, w], {
      strides: [1, 1], dilations: [1, 1], low: [pad, pad], high: [pad, pad], groups: 1,
    });
    const sum = b.addition(y, bias(to, 2));
    return b.max(sum, b.full(sum, 0));
  };
  const first = conv(x, 2, 6, 1);
  const windows = b.add("window", [first], { sizes: [2, 2], strides: [2, 2], dilations: [1, 1] });
  const pooled = b.reduce("max", windows, [4, 5]);
  const second = conv(pooled, 6, 5, 0);
  const flat = b.reshape(second, [N, 20]);
  const w = b.constant(r.tensor([20, 10]), "dense");
  return b.finish([{ name: "logits", value: b.dot(flat, w, 0, 1) }]);
}

/** x W + (-x) W, which is nothing where both products have the same devices. */
export function cancellingNetwork(): Graph {
  const b = new Builder("cancelling");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 2, 8, 8] });
  const flat = b.reshape(x, [symbol("N"), 128]);
  const w = b.constant(new Random(78).tensor([128, 10]), "w");
  const there = b.dot(flat, w, 0, 1);
  const back = b.dot(b.unary("neg", flat), w, 0, 1);
  return b.finish([{ name: "logits", value: b.addition(there, back) }]);
}

/** @param copies of the arrays of each block that has so many products */
export async function testNetwork(
  { target, cells }: TestTarget, device: Device, graph = smallNetwork(), copies = 1,
): Promise<TestNetwork> {
  const units = formUnits(formClusters(graph, { maxBuffers: 8 }));
  const program = formHybrid(graph, units, units.map((u) => (u.analog ? "analog" : "digital")));
  const ordered = unitsInOrder(program);
  const session = await Session.create(
    device, buildProgram(graph, { clusters: ordered.map((u) => u.cluster) }));
  const analog = program.segments.filter((s): s is AnalogBlock => s.kind === "analog");
  const crossbars = emitCrossbars(program, target, new Map(units.map(({ id, analog }) =>
    [id, copies <= (analog?.shape.vectors ?? 0) ? copies : 1])));
  const home = { config: crossbars.config, target, cells };
  const stored = new Map(crossbars.tensors.map((t) => [t.name, [...t.chunks()][0]!]));
  return {
    hybrid: new HybridSession(session, analog.map(({ id, units: [unit] }) =>
      ({ id, dispatch: ordered.indexOf(unit) }))),
    source: {
      read: (name) => stored.get(name)!,
      blocks: analog.map(({ id, graph: block }) => ({
        graph: block, home, crossbar: crossbars.config.blocks.find((c) => c.id === id)!,
      })),
    },
    samples: (count, seed) =>
      new Map([["x", new Random(seed).tensor([count, 2, 8, 8], -0.5, 1)]]),
  };
}
