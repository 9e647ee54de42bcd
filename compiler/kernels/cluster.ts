/**
 * Decides which values get memory, and with that which nodes become one kernel. A cluster is a
 * materialised value, optionally a structural node (contraction, reduction, ...) at its heart, the
 * chain of elementwise nodes behind that (the epilogue), and everything inlined on the way.
 *
 * Not lowering: `lower.ts` turns a cluster into a kernel. The partitioner uses the same clusters as
 * its units, so what is priced is what runs. The idea of materialising only where recomputation
 * would cost more is jax-js's; the rules here are `mustMaterialise` below, one line each.
 */
import type { Graph, Node, Value } from "../graph/graph.ts";
import { dtypeFacts, isInteger } from "../graph/dtype.ts";
import { sizeOf } from "../graph/tensor.ts";
import { constantOf } from "../graph/graph.ts";
import { isElementwise } from "../ops/elementwise.ts";
import { primitiveOf } from "../ops/registry.ts";

export interface Cluster {
  /** The value that gets memory. */
  readonly root: Value;
  /** The node with a structural lowering, when there is one. */
  readonly heart?: Node;
  /** From the heart's consumer to the root's node: bijective nodes applied to the result. */
  readonly chain: readonly Node[];
  /** Heart, chain and every inlined node, in graph order. */
  readonly nodes: readonly Node[];
  /** Values with memory that the kernel reads: graph inputs, constants, other roots. */
  readonly reads: readonly Value[];
}

export interface ClusterOptions {
  /** Buffers that one kernel may bind, the output included. */
  readonly maxBuffers: number;
  /** Values that must have memory: segment boundaries. */
  readonly boundaries?: ReadonlySet<Value>;
}

const transcendental = new Set<string>([
  "exp",
  "log",
  "sqrt",
  "sin",
  "cos",
  "tan",
  "asin",
  "acos",
  "atan",
  "sinh",
  "cosh",
  "tanh",
  "asinh",
  "acosh",
  "atanh",
  "erf",
  "pow",
  "div",
  "rem",
  "random",
  "normal",
]);
/** Scalar work of one element, in units of an addition; a rough order is all the rules need. */
const ownCost = (node: Node): number =>
  transcendental.has(node.op) ? 8 : isElementwise(node) ? 1 : node.op === "gather" ? 2 : 0;

/** Structural results whose epilogue runs in the same kernel. */
const growing = new Set<string>(["reduce", "contract"]);

/** A structural node and the bijective single-reader nodes behind it, so far. */
interface Open {
  readonly heart: Node;
  readonly chain: readonly Node[];
  readonly reads: ReadonlySet<Value>;
}

const outputOf = (node: Node): Value => node.outputs[0] as Value;
/** Held as a literal in the kernel rather than in memory. */
export function isInline(v: Value): boolean {
  const held = constantOf(v);
  return held !== undefined && (held.splat || sizeOf(held.shape) === 1);
}

interface Facts {
  readonly consumers: ReadonlyMap<Value, readonly Node[]>;
  readonly outputs: ReadonlySet<Value>;
}

/** Readers of a value that evaluate it separately: a movement stands for its own readers. */
function readers(v: Value, facts: Facts, memo: Map<Value, number>): number {
  const known = memo.get(v);
  if (known !== undefined) return known;
  let count = facts.outputs.has(v) ? 1 : 0;
  for (const node of facts.consumers.get(v) ?? []) {
    count += primitiveOf(node.op).isMovement ? readers(outputOf(node), facts, memo) : 1;
  }
  memo.set(v, count);
  return count;
}

export function formClusters(graph: Graph, options: ClusterOptions): Cluster[] {
  const consumers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const v of new Set(node.inputs)) {
      const list = consumers.get(v);
      if (list) list.push(node);
      else consumers.set(v, [node]);
    }
  }
  const outputs = new Set(graph.outputs.map((o) => o.value));
  for (const v of options.boundaries ?? []) outputs.add(v);
  const facts: Facts = { consumers, outputs };
  const position = new Map(graph.nodes.map((node, i) => [node, i]));
  const at = (v: Value): number => position.get(v.node as Node) ?? 0;

  // When a value got memory, as the position of the node that was being looked at.
  const roots = new Map<Value, number>();
  let now = -1;
  const hearts = new Map<Value, Open>();
  // Results of structural nodes whose epilogue may still grow, by the value at its end.
  const open = new Map<Value, Open>();
  const memo = new Map<Value, number>();
  // What inlining a value costs per element, and which memory it reads.
  const cost = new Map<Value, number>();
  const leaves = new Map<Value, ReadonlySet<Value>>();

  const settle = (v: Value): void => {
    const ended = open.get(v);
    if (ended) hearts.set(v, ended);
    open.delete(v);
    roots.set(v, now);
    cost.set(v, 0);
    leaves.set(v, new Set([v]));
  };
  for (const v of graph.inputs) settle(v);

  const inlineFacts = (operands: readonly Value[]): { work: number; reads: Set<Value> } => {
    let work = 0;
    const reads = new Set<Value>();
    for (const v of operands) {
      work += cost.get(v) ?? 0;
      for (const leaf of leaves.get(v) ?? []) reads.add(leaf);
    }
    return { work, reads };
  };
  const canGrow = (v: Value): boolean => !outputs.has(v) && consumers.get(v)?.length === 1;

  /** Adds `node` to the epilogue that ends in one of its operands; true when it did. */
  const extend = (node: Node): boolean => {
    const ends = [...new Set(node.inputs)].filter((v) => open.has(v));
    const bijective = isElementwise(node) || node.op === "reshape" || node.op === "transpose";
    // The latest structural node carries the chain; the others are finished before it runs.
    const end = bijective ? ends.pop() : undefined;
    ends.forEach(settle);
    if (!end) return false;
    const { heart, chain, reads } = open.get(end) as Open;
    const more = inlineFacts(node.inputs.filter((v) => v !== end)).reads;
    const merged = new Set([...reads, ...more]);
    if (merged.size + 1 > options.maxBuffers) {
      settle(end);
      return false;
    }
    open.delete(end);
    const v = outputOf(node);
    open.set(v, { heart, chain: [...chain, node], reads: merged });
    if (!canGrow(v)) settle(v);
    return true;
  };

  for (const node of graph.nodes) {
    const v = outputOf(node);
    now++;
    if (extend(node)) continue;
    if (node.op === "constant") {
      if (isInline(v)) {
        cost.set(v, 0);
        leaves.set(v, new Set());
      } else settle(v);
      continue;
    }
    let { work, reads } = inlineFacts(node.inputs);
    // Too many buffers: give memory to the operands that bring most of them.
    while (reads.size + 1 > options.maxBuffers) {
      const worst = [...node.inputs]
        .filter((x) => !roots.has(x))
        .sort((a, b) => (leaves.get(b)?.size ?? 0) - (leaves.get(a)?.size ?? 0))[0];
      if (!worst || (leaves.get(worst)?.size ?? 0) <= 1) break;
      settle(worst);
      ({ work, reads } = inlineFacts(node.inputs));
    }
    const { kind } = primitiveOf(node.op).lower;
    if (kind !== "view") {
      open.set(v, { heart: node, chain: [], reads });
      if (!growing.has(kind) || !canGrow(v)) settle(v);
      continue;
    }
    work += ownCost(node);
    if (mustMaterialise(v, work, facts, memo)) settle(v);
    else {
      cost.set(v, work);
      leaves.set(v, reads);
    }
  }
  [...open.keys()].forEach(settle);
  return [...roots.keys()]
    .flatMap((root) => {
      const node = root.node;
      if (!node || node.op === "constant") return [];
      const { heart, chain } = hearts.get(root) ?? { heart: undefined, chain: [] as Node[] };
      const rest = members(root, heart, chain, roots, position);
      return [{ root, ...(heart ? { heart } : {}), chain, ...rest }];
    })
    .sort((a, b) => at(a.root) - at(b.root));
}

/** Whether a computed-on-the-fly value is better kept: each line is one reason. */
function mustMaterialise(v: Value, work: number, facts: Facts, memo: Map<Value, number>): boolean {
  if (facts.outputs.has(v)) return true;
  if (primitiveOf((v.node as Node).op).isMovement || work === 0) return false;
  if (work > 2 && readers(v, facts, memo) > 1) return true;
  if (work > 96) return true;
  return usedBy(v, facts, (user, operand) => {
    const { kind } = primitiveOf(user.op).lower;
    // Each element is read once per tile of the other operand.
    if (kind === "contract") return work > 1;
    if (kind === "sort" || kind === "scatter") return work > 1;
    if (user.op === "gather") return operand === user.inputs[0];
    if (user.op === "unwindow" || user.op === "window") return work > 1;
    // Repetition repeats the work.
    if (user.op === "broadcast") return work > 4;
    // Every branch of a guard may be evaluated.
    if (user.op === "concat" || user.op === "pad") return work >= 8;
    return false;
  });
}

/** Whether `test` holds for a reader of `v`, seen through movement and widening. */
function usedBy(v: Value, facts: Facts, test: (user: Node, operand: Value) => boolean): boolean {
  return (facts.consumers.get(v) ?? []).some(
    (user) =>
      test(user, v) ||
      ((primitiveOf(user.op).isMovement || isWidening(user)) &&
        usedBy(outputOf(user), facts, test)),
  );
}

/** A narrow integer as one of 32 bits: nothing to compute, so memory goes to the narrow one. */
function isWidening(node: Node): boolean {
  const from = node.inputs[0]?.type.dtype;
  return node.op === "cast" && from !== undefined && isInteger(from) &&
    dtypeFacts[from].bits < 32 && outputOf(node).type.dtype === "int32";
}

function members(
  root: Value,
  heart: Node | undefined,
  chain: readonly Node[],
  roots: ReadonlyMap<Value, number>,
  position: ReadonlyMap<Node, number>,
): { nodes: Node[]; reads: Value[] } {
  const nodes = new Set<Node>();
  const reads = new Set<Value>();
  const inner = new Set<Value>([root, ...chain.map(outputOf), ...(heart ? [outputOf(heart)] : [])]);
  const order = (n: Node): number => position.get(n) ?? 0;
  // What got memory only after its reader was decided stays inlined there: the buffers of that
  // kernel were counted without it.
  const visit = (v: Value, reader: number): void => {
    if (isInline(v)) return;
    if ((roots.get(v) ?? Infinity) <= reader && !inner.has(v)) reads.add(v);
    else if (v.node && !nodes.has(v.node)) {
      const { node } = v;
      nodes.add(node);
      node.inputs.forEach((x) => visit(x, order(node)));
    }
  };
  visit(root, -1);
  return { nodes: [...nodes].sort((a, b) => order(a) - order(b)), reads: [...reads] };
}
