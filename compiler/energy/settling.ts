/**
 * Makes merged layers settle. A feedforward network's weights know nothing of the way back, and a
 * block of unbounded units (ReLU) whose couplings are stronger than its self-energies has no
 * minimum. ReLU layers are homogeneous, relu(c*v) = c*relu(v): with s_l' = c_l*s_l,
 *
 *   U = -c_1 <s_1', a> - sum c_l <s_l', f_l(s_{l-1}'/c_{l-1})>
 *
 * gives the same feedforward values for any c, and couplings of strength c_l/c_{l-1}*|f_l|. The
 * scales are chosen such that every coupling stays below 1/2 in norm, from the output back, whose
 * scale is 1; E is then convex, so that the block settles, near the feedforward values.
 * Bounded units need nothing: their energy has a minimum whatever the weights.
 */
import { Builder } from "../graph/builder.ts";
import { evaluateGraph } from "../graph/evaluate.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { sizeOf, tensor, type Tensor } from "../graph/tensor.ts";
import { randomWord } from "../ops/source.ts";
import { vjp } from "../passes/gradient.ts";
import { dependsOn } from "./field.ts";
import { finish, inlineGraph } from "./inline.ts";
import { unitRule, type Unit } from "./units.ts";

/** A coupling as a graph of its own: the state below, under `from`, and weights in; `to` out. */
export interface CouplingMap {
  readonly graph: Graph;
  readonly from: string;
  readonly to: string;
}

/** Whether the coupling's derivative is the same everywhere. */
export function isAffine({ graph, from, to }: CouplingMap): boolean {
  const b = new Builder("derivative");
  const inputs = new Map(graph.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  const [state, pre] = [inputs.get(from) as Value, inlineGraph(b, graph, inputs).get(to) as Value];
  const [pulled] = vjp(b, [pre], [b.input("pull", pre.type)], [state]);
  return !dependsOn(pulled as Value, state);
}

const isUnbounded = (unit: Unit): boolean => unitRule(unit).domain(unit as never).high === Infinity;
/** act(c*v) = c*act(v) for c > 0. */
const isHomogeneous = (unit: Unit): boolean =>
  unit.kind === "linear" || (unit.kind === "clamp" && unit.low === 0 && unit.high === Infinity);

/** Largest norm of a coupling: two of them at a layer leave its self-energy the upper hand. */
const strongest = 0.45;

/** c_l of each layer; `couplings[l]` leads to layer l + 1. */
export function settlingScales(
  units: readonly Unit[], couplings: readonly CouplingMap[],
  weights: ReadonlyMap<string, Tensor>,
): number[] {
  const scales = units.map(() => 1);
  for (let l = units.length - 2; l >= 0; l--) {
    const unit = units[l] as Unit;
    if (!isHomogeneous(unit) || !isUnbounded(unit)) continue;
    const norm = couplingNorm(couplings[l] as CouplingMap, weights);
    scales[l] = (scales[l + 1] as number) * Math.max(1, norm / strongest);
  }
  return scales;
}

const iterations = 12;

/**
 * Spectral norm of the coupling's derivative at random states, by power iteration. Underestimates
 * by what the last iterations still add, which is why `strongest` is not 1/2.
 */
export function couplingNorm(
  { graph, from, to }: CouplingMap, weights: ReadonlyMap<string, Tensor>,
): number {
  const step = alongAndBack(graph, from, to);
  const { shape } = (step.inputs.find(({ name }) => name === along) as Value).type;
  const size = sizeOf(shape as readonly number[]);
  const random = Float32Array.from({ length: size }, (_, i) => randomWord([1, 7], i) / 2 ** 32);
  const at = tensor("float32", shape as readonly number[], random);
  let v: Tensor = at;
  let norm = 0;
  for (let i = 0; i < iterations; i++) {
    const inputs = new Map([...weights, [from, at] as const, [along, v] as const]);
    const back = evaluateGraph(step, inputs).get("back") as Tensor;
    const [before, after] = [lengthOf(v), lengthOf(back)];
    if (after === 0) return norm;
    norm = Math.sqrt(after / before);
    v = tensor("float32", back.shape, Float32Array.from(back.data, (x) => Number(x) / after));
  }
  return norm;
}

const along = "along";

/** J^T J v for one sample. */
function alongAndBack(graph: Graph, from: string, to: string): Graph {
  const b = new Builder("norm");
  const inputs = new Map(graph.inputs.map((v) =>
    [v.name, b.input(v.name, { ...v.type, shape: v.type.shape.map((d) =>
      (typeof d === "number" ? d : 1)) })]));
  const state = inputs.get(from) as Value;
  const pre = inlineGraph(b, graph, inputs, { N: 1 }).get(to) as Value;
  // J v as the derivative of J^T u by u, which is linear: reverse mode twice.
  const u = b.input("u", pre.type);
  const pulled = vjp(b, [pre], [u], [state])[0] as Value;
  const v = b.input(along, state.type);
  const pushed = vjp(b, [pulled], [v], [u])[0] as Value;
  const back = vjp(b, [pre], [pushed], [state])[0] as Value;
  const made = finish(b, [["back", back]]);
  const read = new Set(made.nodes.flatMap((node) => node.inputs));
  return { ...made, inputs: made.inputs.filter((input) => read.has(input)) };
}

const lengthOf = ({ data }: Tensor): number => {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += (data[i] as number) ** 2;
  return Math.sqrt(sum);
};
