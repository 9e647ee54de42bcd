/**
 * Names in force while a graph is lowered: what each name stands for, and the order in which the
 * nodes that are needed must be lowered. Subgraphs see the names of the graphs around them.
 */
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { OnnxGraph, OnnxNode, TensorSource } from "./model.ts";
import type { Finding } from "./unsupported.ts";

/** Stands for a value that could not be lowered, with what is to blame. */
export class Missing {
  readonly findings: ReadonlySet<Finding>;

  constructor(findings: Iterable<Finding>) {
    this.findings = new Set(findings);
  }

  static union(parts: readonly Missing[]): Missing {
    return new Missing(parts.flatMap((p) => [...p.findings]));
  }
}

/** Thrown through a rule whose subgraph ran into something missing. */
export class MissingInside extends Error {
  readonly missing: Missing;

  constructor(missing: Missing) {
    super("something inside is missing");
    this.missing = missing;
  }
}

/** A name stands for a value, a weight not read yet, nothing (an optional not given), a gap. */
export type Slot = Value | TensorSource | Missing | "absent";

export const isSource = (slot: Slot): slot is TensorSource =>
  typeof slot === "object" && "content" in slot;

export class Scope {
  readonly #slots = new Map<string, Slot>();
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  set(name: string, slot: Slot): void {
    this.#slots.set(name, slot);
  }

  get(name: string): Slot | undefined {
    return this.#slots.get(name) ?? this.#outer?.get(name);
  }
}

/** Names that a node reads, those that its subgraphs take from outside included. */
function namesRead(node: OnnxNode): string[] {
  const names = node.inputs.filter((name) => name !== "");
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === "graph") names.push(...namesInside(attribute.value));
    if (attribute.kind === "graphs") names.push(...attribute.value.flatMap(namesInside));
  }
  return names;
}

function namesInside(graph: OnnxGraph): string[] {
  const own = new Set([
    ...graph.inputs.map((i) => i.name), ...graph.initializers.map((t) => t.name),
    ...graph.nodes.flatMap((n) => n.outputs),
  ]);
  return [...graph.nodes.flatMap(namesRead), ...graph.outputs.map((o) => o.name)]
    .filter((name) => !own.has(name));
}

/**
 * The nodes that `wanted` depends on, operands first; in the file's own order wherever that is
 * such an order.
 * @throws UserError when nodes depend on each other in a circle
 */
export function neededNodes(
  nodes: readonly OnnxNode[], wanted: readonly string[], place: string,
): readonly OnnxNode[] {
  const makers = new Map<string, OnnxNode>();
  for (const node of nodes) for (const name of node.outputs) if (name) makers.set(name, node);
  const state = new Map<OnnxNode, "open" | "done">();
  const order: OnnxNode[] = [];
  // An explicit stack: models are deeper than the call stack.
  const stack: { node: OnnxNode; names: readonly string[]; next: number }[] = [];
  const visit = (name: string): void => {
    const node = makers.get(name);
    if (!node || state.get(node) === "done") return;
    if (state.get(node) === "open") {
      const from = stack.findIndex((frame) => frame.node === node);
      const circle = [...stack.slice(from).map((frame) => frame.node), node];
      throw new UserError(
        `The nodes ${circle.map((n) => `"${n.name}"`).join(" <- ")} depend on each other`,
        { place, remedy: "export the model again: an ONNX graph has no cycles" });
    }
    state.set(node, "open");
    stack.push({ node, names: namesRead(node), next: 0 });
  };
  for (const name of wanted) {
    visit(name);
    while (stack.length > 0) {
      const top = stack.at(-1) as (typeof stack)[number];
      const operand = top.names[top.next++];
      if (operand !== undefined) visit(operand);
      else {
        state.set(top.node, "done");
        order.push(top.node);
        stack.pop();
      }
    }
  }
  const needed = new Set(order);
  const inFileOrder = nodes.filter((node) => needed.has(node));
  return isOrdered(inFileOrder, makers) ? inFileOrder : order;
}

function isOrdered(nodes: readonly OnnxNode[], makers: ReadonlyMap<string, OnnxNode>): boolean {
  const done = new Set<OnnxNode>();
  return nodes.every((node) => {
    const ready = namesRead(node).every((name) => {
      const maker = makers.get(name);
      return !maker || done.has(maker);
    });
    done.add(node);
    return ready;
  });
}
