/**
 * A program: the kernels of one graph in the order in which they run, and the buffers between them.
 * Pure data, the part of a plan that a device executes; it knows neither ONNX nor placements.
 */
import { InternalError } from "../errors.ts";
import { productOf, type Dim } from "../graph/dim.ts";
import type { DType } from "../graph/dtype.ts";
import { constantOf, type Graph, type Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { formClusters, type Cluster } from "./cluster.ts";
import type { Kernel } from "./kernel.ts";
import { lowerCluster } from "./lower.ts";
import { planMemory, type Lifetime, type MemoryPlan } from "./memory.ts";
import { Names } from "./names.ts";

export type BufferRole = "input" | "constant" | "slot" | "output";

export interface ProgramBuffer {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** A `slot` buffer lives in memory-plan slot `slot`; the others have memory of their own. */
  readonly role: BufferRole;
  readonly slot?: number;
}

export interface Dispatch {
  /** Index into `kernels`. */
  readonly kernel: number;
  /** Index into `buffers` of each kernel argument. */
  readonly buffers: readonly number[];
}

export interface Program {
  readonly name: string;
  readonly symbols: readonly string[];
  readonly buffers: readonly ProgramBuffer[];
  readonly kernels: readonly Kernel[];
  readonly dispatches: readonly Dispatch[];
  readonly inputs: readonly { readonly name: string; readonly buffer: number }[];
  /** Several outputs may be one buffer; an output may be an input or a constant. */
  readonly outputs: readonly { readonly name: string; readonly buffer: number }[];
  readonly constants: readonly { readonly buffer: number; readonly tensor: Tensor }[];
  readonly memory: MemoryPlan;
}

export interface ProgramOptions {
  readonly maxBuffers?: number;
  readonly boundaries?: ReadonlySet<Value>;
  /** The graph's clusters in the order in which to run them, when they were formed before. */
  readonly clusters?: readonly Cluster[];
  /** Kernel names stay unique across the programs of one plan. */
  readonly names?: Names;
}

/** Storage buffers of one shader stage that every WebGPU device has. */
export const DEFAULT_MAX_BUFFERS = 8;

/** Buffers that hold two float16 numbers to a word: their kernels say so. */
export function halfBuffers({ dispatches, kernels }: Program): ReadonlySet<number> {
  return new Set(dispatches.flatMap(({ kernel, buffers }) => buffers.filter((_, n) =>
    kernels[kernel]?.arguments[n]?.storage === "f16")));
}

/** The name a kernel gets: its heart's ONNX node, else its root's, else the operation. */
function nameOf(cluster: Cluster): string {
  const named = cluster.heart ?? cluster.root.node;
  const origin = named?.origin[0] ?? cluster.nodes.find((n) => n.origin.length > 0)?.origin[0];
  return origin ?? `${named?.op ?? "kernel"}_${cluster.root.name}`;
}

export function buildProgram(graph: Graph, options: ProgramOptions = {}): Program {
  const clusters =
    options.clusters ??
    formClusters(graph, {
      maxBuffers: options.maxBuffers ?? DEFAULT_MAX_BUFFERS,
      ...(options.boundaries ? { boundaries: options.boundaries } : {}),
    });
  const names = options.names ?? new Names();
  const lowered = clusters.map((cluster) => lowerCluster(cluster, names.take(nameOf(cluster))));
  return assemble(graph, lowered);
}

function assemble(graph: Graph, lowered: readonly ReturnType<typeof lowerCluster>[]): Program {
  const outputs = new Set(graph.outputs.map((o) => o.value));
  const written = new Map<Value, number>();
  const lastRead = new Map<Value, number>();
  lowered.forEach(({ kernel, values }, i) =>
    values.forEach((v, n) => {
      if (kernel.arguments[n]?.access === "write") written.set(v, i);
      else lastRead.set(v, i);
    }),
  );
  const shared = [...written].filter(([v]) => !outputs.has(v));
  const lifetimes: Lifetime[] = shared.map(([v, from]) => ({
    size: productOf(v.type.shape),
    from,
    to: lastRead.get(v) ?? from,
  }));
  const memory = planMemory(lifetimes);
  const slotOf = new Map(shared.map(([v], i) => [v, memory.slotOf[i] as number]));

  const buffers: ProgramBuffer[] = [];
  const indexOf = new Map<Value, number>();
  const constants: { buffer: number; tensor: Tensor }[] = [];
  const bufferFor = (v: Value): number => {
    const known = indexOf.get(v);
    if (known !== undefined) return known;
    const held = constantOf(v);
    const slot = slotOf.get(v);
    const role: BufferRole = held
      ? "constant"
      : !v.node
        ? "input"
        : slot === undefined
          ? "output"
          : "slot";
    const { dtype, shape } = v.type;
    const index =
      buffers.push({
        name: v.name,
        dtype,
        shape,
        role,
        ...(slot === undefined ? {} : { slot }),
      }) - 1;
    indexOf.set(v, index);
    if (held) constants.push({ buffer: index, tensor: held });
    return index;
  };
  const inputs = graph.inputs.map((v) => ({ name: v.name, buffer: bufferFor(v) }));
  const dispatches = lowered.map(({ values }, kernel) => ({
    kernel,
    buffers: values.map(bufferFor),
  }));
  const results = graph.outputs.map(({ name, value }) => {
    const computed = !value.node || value.node.op === "constant" || written.has(value);
    if (!computed) throw new InternalError(`output ${name} (${value.name}) has no kernel`);
    return { name, buffer: bufferFor(value) };
  });
  const symbols = new Set(lowered.flatMap(({ kernel }) => kernel.symbols));
  return {
    name: graph.name,
    symbols: [...symbols].sort(),
    buffers,
    kernels: lowered.map((l) => l.kernel),
    dispatches,
    inputs,
    outputs: results,
    constants,
    memory,
  };
}
