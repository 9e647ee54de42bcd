/**
 * Control flow. Graphs have none: a known condition picks its branch, a condition that depends on
 * data computes both and selects, and loops are written out, round by round. How often a loop runs
 * must therefore be known, from the model or from the inputs that it is specialised for.
 */
import { UserError } from "../../errors.ts";
import { shapesEqual, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { RuleContext } from "../context.ts";
import type { OnnxGraph } from "../model.ts";
import { dimAt, pick, range, unsqueeze, zeros } from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";
import { NeedsConcrete, NeedsValue } from "../refusal.ts";
import { MissingInside } from "../scope.ts";

/** More rounds than this are a mistake in the model, or no business of a graph. */
const mostRounds = 10_000;

const conditional: Rule = (c) => {
  const { b } = c;
  const condition = c.input(0);
  const branch = (taken: boolean): Value[] =>
    c.subgraph(c.graph(taken ? "then_branch" : "else_branch"), []);
  const known = c.tryElements(condition);
  if (known) return branch(known[0] !== 0);
  const [yes, no] = [attempt(() => branch(true)), attempt(() => branch(false))];
  if (!yes || !no || !alike(yes, no)) return branch(c.elements(condition)[0] !== 0);
  c.note("both branches are computed, one is selected");
  const flag = b.reshape(condition, []);
  return yes.map((v, i) => b.where(flag, v, no[i] as Value));
};

/**
 * A branch that is never taken for the sizes at hand may contradict them: a model for two sampling
 * rates has a branch for each. Such a branch gives undefined, and the condition decides.
 */
function attempt(branch: () => Value[]): Value[] | undefined {
  try {
    return branch();
  } catch (error) {
    const wanting = error instanceof NeedsConcrete || error instanceof NeedsValue;
    if (wanting || !(error instanceof UserError || error instanceof MissingInside)) throw error;
    return undefined;
  }
}

const alike = (yes: readonly Value[], no: readonly Value[]): boolean =>
  yes.length === no.length && yes.every((v, i) => {
    const other = (no[i] as Value).type;
    return v.type.dtype === other.dtype && shapesEqual(v.type.shape, other.shape);
  });

/** Joins the rounds' results along a new axis. */
function stack(c: RuleContext, parts: readonly Value[], axis = 0): Value {
  const first = parts[0] as Value;
  const at = c.axis(axis, rankOf(first) + 1);
  return c.b.concat(parts.map((v) => unsqueeze(c.b, v, [at])), at);
}

/** What a body gives for types only: a loop that runs no round still has outputs. */
const emptyLike = (c: RuleContext, v: Value): Value =>
  zeros(c.b, v.type.dtype, [0, ...shapeOf(v)]);

const loop: Rule = (c) => {
  const { b } = c;
  const body = c.graph("body");
  const [limit, first] = [c.optional(0), c.optional(1)];
  let states = range(2, c.count).map((i) => c.input(i));
  const most = limit ? c.scalar(limit) : Infinity;
  let condition = first ?? b.scalar("bool", 1);
  let running = c.elements(condition)[0] !== 0;
  const scanned: Value[][] = [];
  const n = states.length;
  let round = 0;
  for (; running && round < most; round++) {
    c.check(round < mostRounds, `The loop runs more than ${mostRounds} rounds`);
    const outputs = runBody(c, body, [b.scalar("int64", round), condition, ...states], n + 1);
    condition = outputs[0] as Value;
    states = outputs.slice(1, n + 1);
    scanned.push(outputs.slice(n + 1));
    if (round + 1 < most) running = c.elements(condition)[0] !== 0;
  }
  if (round > 0) {
    const lists = (scanned[0] as Value[]).map((_, i) => scanned.map((list) => list[i] as Value));
    return [...states, ...lists.map((parts) => stack(c, parts))];
  }
  // The nodes of this round are not needed by any output and disappear.
  const never = runBody(c, body, [b.scalar("int64", 0), condition, ...states], n + 1);
  return [...states, ...never.slice(n + 1).map((v) => emptyLike(c, v))];
};

function runBody(
  c: RuleContext, body: OnnxGraph, operands: readonly Value[], atLeast: number,
): Value[] {
  const outputs = c.subgraph(body, operands);
  c.check(outputs.length >= atLeast, `The body has ${outputs.length} outputs, not ${atLeast}`);
  return outputs;
}

/** Axes and directions of scan inputs or outputs, one per operand. */
function perOperand(c: RuleContext, name: string, count: number): readonly number[] {
  const given = c.ints(name, []);
  if (given.length === 0) return new Array<number>(count).fill(0);
  c.check(given.length === count, `The attribute "${name}" has ${given.length} entries`);
  return given;
}

function scanOver(
  c: RuleContext, body: OnnxGraph, initial: readonly Value[], inputs: readonly Value[],
  axes: readonly number[], directions: readonly number[],
): { states: Value[]; scanned: Value[][] } {
  const at = inputs.map((v, i) => c.axis(axes[i] as number, rankOf(v)));
  const lengths = inputs.map((v, i) => c.concrete(dimAt(v, at[i] as number), "The length of Scan"));
  const rounds = lengths[0] ?? 0;
  c.check(inputs.length > 0 && lengths.every((l) => l === rounds),
    `The scanned operands have lengths ${lengths.join(", ")}`);
  c.check(rounds <= mostRounds, `The scan runs more than ${mostRounds} rounds`);
  let states = [...initial];
  const scanned: Value[][] = [];
  for (let round = 0; round < rounds; round++) {
    const slices = inputs.map((v, i) =>
      pick(c.b, v, at[i] as number, directions[i] === 1 ? rounds - 1 - round : round));
    const outputs = runBody(c, body, [...states, ...slices], states.length);
    states = outputs.slice(0, states.length);
    scanned.push(outputs.slice(states.length));
  }
  if (rounds > 0) return { states, scanned };
  return c.unsupported("A scan of length 0 is not supported");
}

/** Round by round results to one value per scan output. */
function collected(
  c: RuleContext, scanned: readonly (readonly Value[])[], axes: readonly number[],
  directions: readonly number[],
): Value[] {
  return (scanned[0] ?? []).map((_, i) => {
    const parts = scanned.map((list) => list[i] as Value);
    return stack(c, directions[i] === 1 ? parts.reverse() : parts, axes[i]);
  });
}

const scan: Rule = (c) => {
  const body = c.graph("body");
  const n = c.int("num_scan_inputs");
  c.check(n >= 1 && n <= c.count, `Scan has ${c.count} operands, ${n} of them scanned`);
  const operands = c.inputs();
  const [initial, inputs] = [operands.slice(0, c.count - n), operands.slice(c.count - n)];
  const outputs = Math.max(body.outputs.length - initial.length, 0);
  const { states, scanned } = scanOver(c, body, initial, inputs,
    perOperand(c, "scan_input_axes", n), perOperand(c, "scan_input_directions", n));
  return [...states, ...collected(c, scanned, perOperand(c, "scan_output_axes", outputs),
    perOperand(c, "scan_output_directions", outputs))];
};

/** In opset 8 every operand has a batch axis in front, and each sequence is scanned by itself. */
const scanBatched: Rule = (c) => {
  const body = c.graph("body");
  if (c.optional(0)) return c.unsupported("Scan with sequence_lens is not supported");
  const n = c.int("num_scan_inputs");
  const operands = range(1, c.count).map((i) => c.input(i));
  const split = operands.length - n;
  c.check(n >= 1 && split >= 0, `Scan has ${operands.length} operands, ${n} of them scanned`);
  const directions = perOperand(c, "directions", n);
  const batch: Dim = dimAt(operands[split] as Value, 0);
  const perSequence = range(0, c.concrete(batch, "The batch of Scan")).map((i) => {
    const own = operands.map((v) => pick(c.b, v, 0, i));
    const { states, scanned } = scanOver(
      c, body, own.slice(0, split), own.slice(split), new Array<number>(n).fill(0), directions);
    const outputs = (scanned[0] ?? []).length;
    const zeros0 = new Array<number>(outputs).fill(0);
    return [...states, ...collected(c, scanned, zeros0, zeros0)];
  });
  return (perSequence[0] ?? []).map((_, i) =>
    stack(c, perSequence.map((list) => list[i] as Value)));
};

export const control: Family = [
  { name: "If", since: { 1: conditional } },
  { name: "Loop", since: { 1: loop } },
  { name: "Scan", since: { 8: scanBatched, 9: scan } },
];
