/**
 * Turns a cluster into one kernel: inlines its nodes into expressions of the loop indices, and
 * merges neighbouring axes wherever the index arithmetic stays free of divisions (a contiguous
 * elementwise kernel becomes one flat loop, a 1x1 convolution a plain matrix product).
 */
import { InternalError, UserError } from "../errors.ts";
import { productOf, symbolsOf, type Dim } from "../graph/dim.ts";
import {
  dtypeFacts, integerRange, isFloat, isInteger, storageOf, type DType,
} from "../graph/dtype.ts";
import {
  constantOf, type Node, type PrimName, type ReduceKind, type Value,
} from "../graph/graph.ts";
import { areHalves } from "../graph/half.ts";
import type { Tensor } from "../graph/tensor.ts";
import { scalarTypeOf, wrapExpr } from "../ops/elementwise.ts";
import { reindex } from "../ops/movement.ts";
import { identityOf } from "../ops/reduction.ts";
import type {
  BurstLowering, ContractLowering, LowerContext, ReduceLowering, ViewLowering,
} from "../ops/primitive.ts";
import { primitiveOf } from "../ops/registry.ts";
import { isInline, type Cluster } from "./cluster.ts";
import { collect, type Expr } from "./expr.ts";
import {
  axesOf, rootsOf, type Axis, type BufferArgument, type Kernel, type KernelBody, type Store,
} from "./kernel.ts";
import { ExprPool, flatten } from "./pool.ts";

export interface LoweredKernel {
  readonly kernel: Kernel;
  /** The value behind each kernel argument, in order. */
  readonly values: readonly Value[];
}

/** A list of axes, each standing for one or more neighbouring dimensions. */
interface Group {
  readonly name: string;
  readonly dims: readonly Dim[];
}

class Lowering {
  readonly pool = new ExprPool();
  readonly #cluster: Cluster;
  readonly #inner: ReadonlySet<Value>;
  readonly #arguments: Value[] = [];
  readonly #memo = new Map<string, Expr>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const behind = [...(cluster.heart ? [cluster.heart] : []), ...cluster.chain];
    this.#inner = new Set([cluster.root, ...behind.map((n) => n.outputs[0] as Value)]);
  }

  get values(): readonly Value[] {
    return this.#arguments;
  }

  #argument(v: Value): number {
    const at = this.#arguments.indexOf(v);
    return at >= 0 ? at : this.#arguments.push(v) - 1;
  }

  context<O extends PrimName>(
    node: Node<O>, read?: (input: number, indices: readonly Expr[]) => Expr,
  ): LowerContext<O> {
    return {
      pool: this.pool, node,
      read: read ?? ((i, indices) => this.read(node.inputs[i] as Value, indices)),
    };
  }

  /** Element of `v` at row-major `indices`: a load where it has memory, else its expression. */
  read(v: Value, indices: readonly Expr[]): Expr {
    const hasMemory = !isInline(v) && (!v.node || v.node.op === "constant" ||
      (this.#cluster.reads.includes(v) && !this.#inner.has(v)));
    if (hasMemory) {
      const flat = flatten(this.pool, indices, v.type.shape);
      return this.pool.load(this.#argument(v), flat, scalarTypeOf(v.type.dtype), rangeOf(v));
    }
    const key = `${v.id}:${indices.map((e) => e.id).join(",")}`;
    const known = this.#memo.get(key);
    if (known) return known;
    const e = this.view(v, indices);
    this.#memo.set(key, e);
    return e;
  }

  view(v: Value, indices: readonly Expr[]): Expr {
    const { node } = v;
    if (!node) throw new InternalError(`input ${v.name} was not given memory`);
    const { lower } = primitiveOf(node.op);
    if (lower.kind !== "view") {
      throw new InternalError(`${v.name} (${node.op}) was not given memory`);
    }
    return (lower as ViewLowering<PrimName>).at(this.context(node), indices);
  }

  store(value: Expr, index: Expr): Store {
    return { buffer: this.#argument(this.#cluster.root), index, value };
  }

  /** Applies the epilogue to the heart's result, whose element sits at `indices` of its output. */
  finish(acc: Expr, indices: readonly Expr[]): Store {
    const heart = this.#cluster.heart as Node;
    let current = heart.outputs[0] as Value;
    let [value, at] = [wrapExpr(this.pool, acc, current.type.dtype), indices];
    for (const node of this.#cluster.chain) {
      if (node.op === "reshape") {
        at = reindex(this.pool, at, current.type.shape, (node as Node<"reshape">).attrs.shape);
      } else if (node.op === "transpose") {
        const before = at;
        at = (node as Node<"transpose">).attrs.perm.map((p) => before[p] as Expr);
      } else {
        const [held, where, source] = [value, at, current];
        const read = (i: number, idx: readonly Expr[]): Expr =>
          node.inputs[i] === source ? held : this.read(node.inputs[i] as Value, idx);
        const lower = primitiveOf(node.op).lower as ViewLowering<PrimName>;
        value = lower.at(this.context(node, read), where);
      }
      current = node.outputs[0] as Value;
    }
    return this.store(value, flatten(this.pool, at, current.type.shape));
  }

  /** One index per dimension of a group: the axis itself, or its parts. */
  indicesOf(groups: readonly Group[], first: number): Expr[] {
    return groups.flatMap(({ dims }, n) => {
      let flat = this.pool.axis(first + n, productOf(dims));
      if (dims.length === 1) return [flat];
      const parts: Expr[] = [];
      for (let i = dims.length - 1; i > 0; i--) {
        const size = this.pool.size(dims[i] as Dim);
        parts.unshift(this.pool.rem(flat, size));
        flat = this.pool.div(flat, size);
      }
      return [flat, ...parts];
    });
  }
}

const axesFor = (groups: readonly Group[]): Axis[] =>
  groups.map(({ name, dims }) => ({ name, extent: productOf(dims) }));
const groupsFor = (prefix: string, dims: readonly Dim[]): Group[] =>
  dims.map((d, i) => ({ name: dims.length === 1 ? prefix : `${prefix}${i}`, dims: [d] }));

type Recipe = (l: Lowering, groups: readonly (readonly Group[])[]) => KernelBody;
/** The axis groups of a body that may merge among themselves, and how to build it from them. */
interface Plan {
  readonly groups: readonly (readonly Group[])[];
  readonly build: Recipe;
}

function planMap(cluster: Cluster): Plan {
  const { root } = cluster;
  return {
    groups: [groupsFor("i", root.type.shape)],
    build(l, [axes = []]) {
      const indices = l.indicesOf(axes, 0);
      const value = l.view(root, indices);
      const store = l.store(value, flatten(l.pool, indices, root.type.shape));
      return { kind: "map", axes: axesFor(axes), store };
    },
  };
}

function planBurst(heart: Node, lower: BurstLowering<PrimName>): Plan {
  const { shape } = (heart.outputs[0] as Value).type;
  return {
    groups: [groupsFor("i", lower.points(heart))],
    build(l, [axes = []]) {
      const [store, ...more] = lower.at(l.context(heart), l.indicesOf(axes, 0))
        .map(({ value, indices }) => l.store(value, flatten(l.pool, indices, shape)));
      return { kind: "map", axes: axesFor(axes), store: store as Store, more };
    },
  };
}

/** The maximum of nothing is the least value of the element type, which a device's may be below. */
function limited(pool: ExprPool, acc: Expr, op: ReduceKind, dtype: DType): Expr {
  if (dtypeFacts[dtype].bits >= 32 || isFloat(dtype) || (op !== "max" && op !== "min")) return acc;
  if (dtype === "bool") return acc;
  return pool.binary(op, acc, pool.const(identityOf(op, dtype), acc.type));
}

function planReduce(heart: Node, lower: ReduceLowering<PrimName>): Plan {
  const out = (heart.outputs[0] as Value).type;
  const { op, extents } = lower.plan(heart);
  const count = productOf(extents);
  const isMaybeEmpty = typeof count !== "number" || count === 0;
  return {
    groups: [groupsFor("i", out.shape), groupsFor("r", extents)],
    build(l, [axes = [], reduceAxes = []]) {
      const indices = l.indicesOf(axes, 0);
      const reduced = l.indicesOf(reduceAxes, axes.length);
      const value = lower.value(l.context(heart), indices, reduced);
      const acc = l.pool.acc(value.type);
      const store = l.finish(isMaybeEmpty ? limited(l.pool, acc, op, out.dtype) : acc, indices);
      return {
        kind: "reduce", axes: axesFor(axes), reduceAxes: axesFor(reduceAxes), op, value, store,
      };
    },
  };
}

function planContract(heart: Node, lower: ContractLowering<PrimName>): Plan {
  const { batch, m, n, k } = lower.plan(heart);
  return {
    groups: [groupsFor("b", batch), groupsFor("m", m), groupsFor("n", n), groupsFor("k", k)],
    build(l, [b = [], rows = [], columns = [], inner = []]) {
      let first = 0;
      const [bi, mi, ni, ki] = [b, rows, columns, inner].map((groups) => {
        const indices = l.indicesOf(groups, first);
        first += groups.length;
        return indices;
      }) as [Expr[], Expr[], Expr[], Expr[]];
      const ctx = l.context(heart);
      const a = lower.a(ctx, bi, mi, ki);
      const store = l.finish(l.pool.acc(a.type), lower.output(ctx, bi, mi, ni));
      return {
        kind: "contract", batch: axesFor(b), m: axesFor(rows), n: axesFor(columns),
        k: axesFor(inner), a, b: lower.b(ctx, bi, ki, ni), store,
      };
    },
  };
}

function planFor(cluster: Cluster): Plan {
  const { heart, root } = cluster;
  if (!heart) return planMap(cluster);
  const { lower } = primitiveOf(heart.op);
  const shape = root.type.shape;
  switch (lower.kind) {
    case "reduce": return planReduce(heart, lower as ReduceLowering<PrimName>);
    case "contract": return planContract(heart, lower as ContractLowering<PrimName>);
    case "cumulate": return {
      groups: [],
      build(l) {
        const { op, axis } = lower.plan(heart as never);
        // The running axis goes last; indices go back to their places.
        const order = [...shape.keys()].filter((i) => i !== axis).concat(axis);
        const groups = order.map((i) => ({ name: `i${i}`, dims: [shape[i] as Dim] }));
        const moved = l.indicesOf(groups, 0);
        const indices = shape.map((_, i) => moved[order.indexOf(i)] as Expr);
        const value = l.context(heart).read(0, indices);
        const index = flatten(l.pool, indices, shape);
        const store = l.store(wrapExpr(l.pool, l.pool.acc(value.type), root.type.dtype), index);
        return { kind: "cumulate", axes: axesFor(groups), op, value, store };
      },
    };
    case "scatter": return {
      groups: [],
      build(l) {
        const ctx = l.context(heart);
        const count = (heart.inputs[1] as Value).type.shape[0] as Dim;
        const [row, column, update] = [
          l.pool.axis(0, shape[0] as Dim), l.pool.axis(1, shape[1] as Dim), l.pool.axis(2, count),
        ];
        const body = {
          kind: "scatter" as const, op: lower.plan(heart as never).op,
          rows: { name: "row", extent: shape[0] as Dim },
          columns: { name: "column", extent: shape[1] as Dim },
          updates: { name: "update", extent: count },
          initial: ctx.read(0, [row, column]),
          target: l.pool.cast(ctx.read(1, [update]), "i32"),
          update: ctx.read(2, [update, column]),
        };
        return { ...body, output: l.store(row, row).buffer };
      },
    };
    case "sort": return {
      groups: [],
      build(l) {
        const groups = groupsFor("i", shape);
        const value = l.context(heart).read(0, l.indicesOf(groups, 0));
        const axes = axesFor(groups);
        const { descending } = lower.plan(heart as never);
        return {
          kind: "sort", axes: axes.slice(0, -1), sorted: axes.at(-1) as Axis,
          descending, value, output: l.store(value, value).buffer,
        };
      },
    };
    case "burst": return planBurst(heart, lower as BurstLowering<PrimName>);
    case "view": throw new InternalError(`${root.name}: a view at the heart of a kernel`);
  }
}

/** Index arithmetic that a merge must not add to. */
function divisions(body: KernelBody): number {
  return collect(rootsOf(body)).filter((e) => e.kind === "binary" && e.type === "i32" &&
    (e.op === "div" || e.op === "rem")).length;
}

/** Merges neighbouring axes, left to right, as long as no division appears. */
function mergeAxes(cluster: Cluster, plan: Plan): { lowering: Lowering; body: KernelBody } {
  const attempt = (groups: Plan["groups"]): { lowering: Lowering; body: KernelBody } => {
    const lowering = new Lowering(cluster);
    return { lowering, body: plan.build(lowering, groups) };
  };
  let groups = plan.groups;
  let best = attempt(groups);
  let score = divisions(best.body);
  for (let list = 0; list < groups.length; list++) {
    for (let i = 0; i + 1 < (groups[list] as readonly Group[]).length;) {
      const axes = groups[list] as readonly Group[];
      const [x, y] = [axes[i], axes[i + 1]] as [Group, Group];
      const joined = { name: x.name, dims: [...x.dims, ...y.dims] };
      const trial = groups.map((g, n) =>
        n === list ? [...axes.slice(0, i), joined, ...axes.slice(i + 2)] : g);
      const next = attempt(trial);
      const nextScore = divisions(next.body);
      if (nextScore > score) {
        i++;
        continue;
      }
      [groups, best, score] = [trial, next, nextScore];
    }
  }
  return best;
}

const ranges = new WeakMap<Tensor, readonly [number, number]>();

/** What the integers of a value can be, where it is less than their word: by type, or as held. */
function rangeOf(v: Value): readonly [number, number] | undefined {
  const { dtype } = v.type;
  if (!isInteger(dtype)) return undefined;
  const { min, max } = integerRange(dtype);
  if (dtypeFacts[dtype].bits < 32) return [min, max];
  const held = constantOf(v);
  if (!held) return undefined;
  const known = ranges.get(held);
  if (known) return known;
  let [least, most] = [max, min];
  for (const x of held.data) {
    least = Math.min(least, x);
    most = Math.max(most, x);
  }
  const made = [Math.min(least, most), most] as const;
  ranges.set(held, made);
  return made;
}

const halves = new WeakMap<Tensor, boolean>();

/** Float16 weights stay halves; folding may have left others, which would lose by it. */
function isHalves(held: Tensor): boolean {
  const known = halves.get(held);
  if (known !== undefined) return known;
  const made = held.dtype === "float16" && areHalves(held.data);
  halves.set(held, made);
  return made;
}

/** Limits of what 32-bit index arithmetic can address. */
const ELEMENT_LIMIT = 2 ** 31 - 1;

function argumentFor(v: Value, isOutput: boolean): BufferArgument {
  const size = productOf(v.type.shape);
  if (typeof size === "number" && size > ELEMENT_LIMIT) {
    throw new UserError(`A tensor of ${size} elements is too large for 32-bit indexing`,
      { place: v.name, remedy: "reduce the batch, or split the tensor in the model" });
  }
  const held = constantOf(v);
  if (held && dtypeFacts[v.type.dtype].bits === 64 && dtypeFacts[v.type.dtype].kind !== "float") {
    const limit = v.type.dtype === "uint64" ? 2 ** 32 - 1 : 2 ** 31 - 1;
    const bad = (held.data as Float64Array).find((x) => x > limit || x < -limit - 1);
    if (bad !== undefined) {
      throw new UserError(`The ${v.type.dtype} constant holds ${bad}, which 32 bits cannot`,
        { place: v.name, remedy: "Use smaller values: devices compute in 32 bits" });
    }
  }
  const storage = held && isHalves(held) ? "f16" : storageOf(v.type.dtype);
  const range = rangeOf(v);
  return { name: v.name, storage, access: isOutput ? "write" : "read", size,
    ...(range && !isOutput && { range }) };
}

/** Kernel of a cluster under the given name, which must be an identifier. */
export function lowerCluster(cluster: Cluster, name: string): LoweredKernel {
  const { lowering, body } = mergeAxes(cluster, planFor(cluster));
  const values = lowering.values;
  const sizes: Dim[] = [...axesOf(body).map((axis) => axis.extent),
    ...values.map((v) => productOf(v.type.shape))];
  for (const e of collect(rootsOf(body))) if (e.kind === "size") sizes.push(e.dim);
  const kernel: Kernel = {
    name,
    origin: [...new Set(cluster.nodes.flatMap((n) => n.origin.slice(0, 1)))],
    symbols: [...new Set(sizes.flatMap(symbolsOf))].sort(),
    arguments: values.map((v) => argumentFor(v, v === cluster.root)),
    body,
  };
  return { kernel, values };
}
