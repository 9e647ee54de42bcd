/**
 * Recurrent layers, written out step by step: the products with the inputs are one product over
 * all steps, each step then adds the product with its state. Equations as the specification has
 * them; sequences shorter than the longest keep their state and give zeros.
 */
import type { Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  clamp, dimAt, pick, range, relu, sigmoid, softplus, splitAt, swapLastTwo, unsqueeze, zeros,
} from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

const mostSteps = 10_000;

/** An activation with its parameters filled in. */
type Applied = (x: Value) => Value;
type Activation = (b: Builder, x: Value, alpha: number, beta: number) => Value;
const times = (b: Builder, x: Value, factor: number): Value => b.mul(x, b.full(x, factor));
const plus = (b: Builder, x: Value, term: number): Value => b.addition(x, b.full(x, term));

/** Activation by lower-case name, with its default alpha and beta. */
const activations: Readonly<Record<string, readonly [Activation, number, number]>> = {
  relu: [(b, x) => relu(b, x), 0, 0],
  tanh: [(b, x) => b.unary("tanh", x), 0, 0],
  sigmoid: [(b, x) => sigmoid(b, x), 0, 0],
  affine: [(b, x, alpha, beta) => plus(b, times(b, x, alpha), beta), 1, 0],
  leakyrelu: [(b, x, alpha) =>
    b.where(b.binary("lt", x, b.full(x, 0)), times(b, x, alpha), x), 0.01, 0],
  thresholdedrelu: [(b, x, alpha) =>
    b.where(b.binary("lt", b.full(x, alpha), x), x, b.full(x, 0)), 1, 0],
  scaledtanh: [(b, x, alpha, beta) =>
    times(b, b.unary("tanh", times(b, x, beta)), alpha), 1, 1],
  hardsigmoid: [(b, x, alpha, beta) => clamp(b, plus(b, times(b, x, alpha), beta), 0, 1), 0.2, 0.5],
  elu: [(b, x, alpha) => b.where(b.binary("lt", x, b.full(x, 0)),
    times(b, plus(b, b.unary("exp", x), -1), alpha), x), 1, 0],
  softsign: [(b, x) => b.div(x, plus(b, b.unary("abs", x), 1)), 0, 0],
  softplus: [(b, x) => softplus(b, x), 0, 0],
};

/** The layer's activations, `perDirection` for each direction. */
function activationsOf(
  c: RuleContext, defaults: readonly string[], directions: number,
): Applied[] {
  const names = c.strings("activations", []);
  const all = names.length > 0 ? names : range(0, directions).flatMap(() => defaults);
  c.check(all.length === defaults.length * directions,
    `${all.length} activations are named, ${defaults.length * directions} are needed`);
  const [alphas, betas] = [c.floats("activation_alpha", []), c.floats("activation_beta", [])];
  // Parameters are listed only for activations that take them, in order.
  let [nextAlpha, nextBeta] = [0, 0];
  const withAlpha = new Set([
    "affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu",
  ]);
  const withBeta = new Set(["affine", "scaledtanh", "hardsigmoid"]);
  return all.map((name) => {
    const key = name.toLowerCase();
    const found = activations[key] ?? c.unsupported(`The activation "${name}" is not supported`);
    const [f, alpha, beta] = found;
    const a = withAlpha.has(key) ? alphas[nextAlpha++] ?? alpha : alpha;
    const d = withBeta.has(key) ? betas[nextBeta++] ?? beta : beta;
    return (x: Value) => f(c.b, x, a, d);
  });
}

/** Operands of one direction: weights as [I, G*H] and [H, G*H], biases as [G*H]. */
interface Direction {
  readonly input: Value;
  readonly state: Value;
  readonly inputBias: Value | undefined;
  readonly stateBias: Value | undefined;
  /** LSTM's weights from the cell to the gates i, o, f, each [H]. */
  readonly peepholes: readonly Value[] | undefined;
  readonly functions: readonly Applied[];
}

/** One step: the gates' inputs [B, G*H] and the states to the new states, the output first. */
type Cell = (
  c: RuleContext, d: Direction, gates: Value, states: readonly Value[], size: number,
) => readonly Value[];

const withBias = (b: Builder, x: Value, bias: Value | undefined): Value =>
  (bias ? b.addition(x, bias) : x);

/** Equal pieces of `size` along the last axis. */
const cut = (b: Builder, x: Value, size: number, parts: number): Value[] =>
  splitAt(b, x, rankOf(x) - 1, new Array<number>(parts).fill(size));

const rnnCell: Cell = (c, d, gates, [h]) => {
  const { b } = c;
  const sum = withBias(b, b.addition(gates, b.dot(h as Value, d.state, 0, 1)), d.stateBias);
  return [(d.functions[0] as Applied)(clipped(c, sum))];
};

const gruCell: Cell = (c, d, gates, [state], size) => {
  const { b } = c;
  const h = state as Value;
  const [f, g] = d.functions as [Applied, Applied];
  const [xz, xr, xh] = cut(b, gates, size, 3) as [Value, Value, Value];
  const [wz, wr, wh] = cut(b, d.state, size, 3) as [Value, Value, Value];
  const biases = d.stateBias ? cut(b, d.stateBias, size, 3) : [];
  const through = (w: Value, v: Value): Value => b.dot(v, w, 0, 1);
  const z = f(clipped(c, withBias(b, b.addition(xz, through(wz, h)), biases[0])));
  const r = f(clipped(c, withBias(b, b.addition(xr, through(wr, h)), biases[1])));
  const inner = c.flag("linear_before_reset")
    ? b.mul(r, withBias(b, through(wh, h), biases[2]))
    : withBias(b, through(wh, b.mul(r, h)), biases[2]);
  const candidate = g(clipped(c, b.addition(xh, inner)));
  const kept = b.mul(z, h);
  return [b.addition(b.mul(b.sub(b.full(z, 1), z), candidate), kept)];
};

const lstmCell: Cell = (c, d, gates, states, size) => {
  const { b } = c;
  const [h, cell] = states as [Value, Value];
  const [f, g, last] = d.functions as [Applied, Applied, Applied];
  const sum = withBias(b, b.addition(gates, b.dot(h, d.state, 0, 1)), d.stateBias);
  const [xi, xo, xf, xc] = cut(b, sum, size, 4) as [Value, Value, Value, Value];
  const peep = (x: Value, i: number, from: Value): Value =>
    (d.peepholes ? b.addition(x, b.mul(d.peepholes[i] as Value, from)) : x);
  const input = f(clipped(c, peep(xi, 0, cell)));
  const forget = c.flag("input_forget") ? b.sub(b.full(input, 1), input)
    : f(clipped(c, peep(xf, 2, cell)));
  const next = b.addition(b.mul(forget, cell), b.mul(input, g(clipped(c, xc))));
  const output = f(clipped(c, peep(xo, 1, next)));
  return [b.mul(output, last(next)), next];
};

function clipped(c: RuleContext, x: Value): Value {
  const limit = c.float("clip", 0);
  return limit > 0 ? clamp(c.b, x, -limit, limit) : x;
}

interface Layer {
  readonly gates: number;
  /** State operands: h, and for LSTM c. */
  readonly states: number;
  readonly activations: readonly string[];
  readonly cell: Cell;
  /** Operand numbers of the initial states. */
  readonly initial: readonly number[];
  readonly peepholes?: number;
}

const layers = {
  RNN: { gates: 1, states: 1, activations: ["Tanh"], cell: rnnCell, initial: [5] },
  GRU: { gates: 3, states: 1, activations: ["Sigmoid", "Tanh"], cell: gruCell, initial: [5] },
  LSTM: {
    gates: 4, states: 2, activations: ["Sigmoid", "Tanh", "Tanh"], cell: lstmCell,
    initial: [5, 6], peepholes: 7,
  },
} as const satisfies Record<string, Layer>;

function directionOf(
  c: RuleContext, layer: Layer, i: number, size: number, functions: Direction["functions"],
): Direction {
  const { b } = c;
  const of = (operand: number): Value => pick(b, c.input(operand), 0, i);
  const bias = c.optional(3) && of(3);
  const width = layer.gates * size;
  const [inputBias, stateBias] = bias ? splitAt(b, bias, 0, [width, width]) : [];
  const peephole = layer.peepholes !== undefined && c.optional(layer.peepholes);
  return {
    input: swapLastTwo(b, of(1)), state: swapLastTwo(b, of(2)), inputBias, stateBias,
    peepholes: peephole ? cut(b, of(layer.peepholes as number), size, 3) : undefined,
    functions,
  };
}

/** Runs one direction over x [T, B, I]: outputs per step [B, H], and the last states. */
function run(
  c: RuleContext, layer: Layer, d: Direction, x: Value, initial: readonly Value[],
  backwards: boolean, size: number,
): { steps: Value[]; last: readonly Value[] } {
  const { b } = c;
  const count = c.concrete(dimAt(x, 0), "The number of steps");
  c.check(count <= mostSteps, `More than ${mostSteps} steps`);
  const lengths = c.optional(4);
  const all = withBias(b, b.dot(x, d.input, 0, 1), d.inputBias);
  let states = initial;
  const steps = new Array<Value>(count);
  for (let i = 0; i < count; i++) {
    const t = backwards ? count - 1 - i : i;
    const next = layer.cell(c, d, pick(b, all, 0, t), states, size);
    if (!lengths) {
      states = next;
      steps[t] = next[0] as Value;
      continue;
    }
    const length = unsqueeze(b, b.cast(lengths, "int32"), [1]);
    const active = b.binary("lt", b.full(length, t), length);
    steps[t] = b.where(active, next[0] as Value, b.full(next[0] as Value, 0));
    states = next.map((v, n) => b.where(active, v, states[n] as Value));
  }
  return { steps, last: states };
}

const recurrent = (layer: Layer): Rule => (c) => {
  const { b } = c;
  const batchFirst = c.flag("layout");
  const given = c.ranked(0, 3);
  const x = batchFirst ? b.transpose(given, [1, 0, 2]) : given;
  const how = c.choice("direction", "forward", "reverse", "bidirectional");
  const directions = how === "bidirectional" ? 2 : 1;
  for (const weights of [c.ranked(1, 3), c.ranked(2, 3)]) {
    c.expectDim(dimAt(weights, 0), directions,
      `The weights are not for ${directions} direction(s)`);
  }
  const size = c.concrete(dimAt(c.input(2), 2), "The hidden size");
  c.check(c.int("hidden_size", size) === size, "hidden_size is not the size of the weights");
  const functions = activationsOf(c, layer.activations, directions);
  const [count, batch] = shapeOf(x) as [Dim, Dim];
  const runs = range(0, directions).map((i) => {
    const initial = layer.initial.map((operand) => {
      const state = c.optional(operand);
      if (!state) return zeros(b, x.type.dtype, [batch, size]);
      return pick(b, state, batchFirst ? 1 : 0, i);
    });
    const n = layer.activations.length;
    const d = directionOf(c, layer, i, size, functions.slice(i * n, (i + 1) * n));
    return run(c, layer, d, x, initial, how === "reverse" || i === 1, size);
  });
  // Steps [B, H] to [T, D, B, H], or [B, T, D, H] with the batch first.
  const axis = batchFirst ? 1 : 0;
  const whole = (): Value => {
    if (count === 0) return zeros(b, x.type.dtype, batchFirst
      ? [batch, 0, directions, size] : [0, directions, batch, size]);
    const perDirection = runs.map(({ steps }) =>
      b.concat(steps.map((v) => unsqueeze(b, v, [axis])), axis));
    const place = batchFirst ? 2 : 1;
    return b.concat(perDirection.map((v) => unsqueeze(b, v, [place])), place);
  };
  const finals = range(0, layer.states).map((n) =>
    b.concat(runs.map(({ last }) => unsqueeze(b, last[n] as Value, [axis])), axis));
  return [c.wants(0) ? whole() : undefined, ...finals];
};

export const recurrence: Family = [
  { name: "RNN", since: { 1: recurrent(layers.RNN) } },
  { name: "GRU", since: { 1: recurrent(layers.GRU) } },
  { name: "LSTM", since: { 1: recurrent(layers.LSTM) } },
];
