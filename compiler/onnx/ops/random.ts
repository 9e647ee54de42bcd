/**
 * Random numbers from a counter and a key: the same on every device. A node with a seed always
 * gives the same numbers, one without gets a key from its name, and says so. No other runtime's
 * generator is imitated.
 */
import type { Dim } from "../../graph/dim.ts";
import type { DType } from "../../graph/dtype.ts";
import { shapeOf, type Value } from "../../graph/graph.ts";
import { tensor } from "../../graph/tensor.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, softmax, unsqueeze } from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

/** FNV-1a over the characters of a text. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (const character of text) {
    h = Math.imul(h ^ (character.codePointAt(0) as number), 0x01000193);
  }
  return h >>> 0;
}

function keyOf(c: RuleContext, stream = 0): Value {
  const seeded = c.has("seed");
  if (!seeded) c.note("has no seed; its random numbers follow from its name");
  const seed = seeded ? hash(String(c.node.attributes.get("seed")?.value)) : hash(c.node.name);
  return c.b.constant(tensor("uint32", [2], [seed, stream]));
}

/** Uniform in (0, 1): 24 random bits, and half a step so that 0 is never met. */
function uniform(c: RuleContext, shape: readonly Dim[], stream = 0): Value {
  const { b } = c;
  const bits = b.add("random", [keyOf(c, stream)], { shape });
  const top = b.cast(b.binary("shr", bits, b.full(bits, 8)), "float32");
  return b.mul(b.addition(top, b.full(top, 0.5)), b.full(top, 2 ** -24));
}

/** Box and Muller's transform of two uniform numbers. */
function normal(c: RuleContext, shape: readonly Dim[]): Value {
  const { b } = c;
  const [u, v] = [uniform(c, shape, 0), uniform(c, shape, 1)];
  const log = b.unary("log", u);
  const radius = b.unary("sqrt", b.mul(log, b.full(log, -2)));
  return b.mul(radius, b.unary("cos", b.mul(v, b.full(v, 2 * Math.PI))));
}

type Draw = (c: RuleContext, shape: readonly Dim[]) => Value;
const uniformBetween: Draw = (c, shape) => {
  const [low, high] = [c.float("low", 0), c.float("high", 1)];
  const u = uniform(c, shape);
  return c.b.addition(c.b.mul(u, c.b.full(u, high - low)), c.b.full(u, low));
};
const normalAround: Draw = (c, shape) => {
  const z = normal(c, shape);
  const spread = c.b.mul(z, c.b.full(z, c.float("scale", 1)));
  return c.b.addition(spread, c.b.full(z, c.float("mean", 0)));
};

const ofShape = (draw: Draw): Rule => (c) =>
  c.b.cast(draw(c, c.ints("shape")), c.dtype("dtype", "float32"));
const like = (draw: Draw): Rule => (c) => {
  const x = c.input(0);
  const fallback: DType = x.type.dtype;
  return c.b.cast(draw(c, shapeOf(x)), c.dtype("dtype", fallback));
};

const bernoulli: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const drawn = uniform(c, shapeOf(x));
  const dtype = c.dtype("dtype", x.type.dtype);
  return b.cast(b.binary("lt", drawn, b.cast(x, "float32")), dtype);
};

/** Class by class: how many cumulative probabilities lie below a uniform number. */
const multinomial: Rule = (c) => {
  const [{ b }, x] = [c, c.ranked(0, 2)];
  const samples = c.int("sample_size", 1);
  const weights = softmax(b, b.cast(x, "float32"), [1]);
  const below = b.add("cumulate", [weights], { kind: "sum", axis: 1 });
  const drawn = uniform(c, [dimAt(x, 0), samples]);
  const passed = b.binary("le", unsqueeze(b, below, [1]), unsqueeze(b, drawn, [2]));
  const picked = b.reduce("sum", b.cast(passed, "int32"), [2]);
  const last = b.size(dimAt(x, 1), "int32");
  return b.cast(b.min(picked, b.sub(last, b.scalar("int32", 1))), c.dtype("dtype", "int32"));
};

/** Keeps each element with probability 1 - ratio, scaled so that the mean stays. */
function dropout(c: RuleContext, x: Value, ratio: number): readonly Value[] {
  const { b } = c;
  if (ratio === 0) return [x, b.full(x, 1, "bool")];
  const u = uniform(c, shapeOf(x));
  const kept = b.binary("le", b.full(u, ratio), u);
  const scaled = b.mul(x, b.full(x, 1 / (1 - ratio)));
  return [b.where(kept, scaled, b.full(x, 0)), kept];
}

/** Without training, everything passes; the mask had the operand's type before opset 10. */
const inference: Rule = (c) => {
  const x = c.input(0);
  return [x, c.wants(1) ? c.b.full(x, 1, c.opset >= 10 ? "bool" : x.type.dtype) : undefined];
};

const dropoutOperands: Rule = (c) => {
  const [ratio, training] = [c.optional(1), c.optional(2)];
  if (!training || c.elements(training)[0] === 0) return inference(c);
  return dropout(c, c.input(0), ratio ? c.scalar(ratio) : 0.5);
};

export const random: Family = [
  { name: "RandomUniform", since: { 1: ofShape(uniformBetween) } },
  { name: "RandomUniformLike", since: { 1: like(uniformBetween) } },
  { name: "RandomNormal", since: { 1: ofShape(normalAround) } },
  { name: "RandomNormalLike", since: { 1: like(normalAround) } },
  { name: "Bernoulli", since: { 15: bernoulli } },
  { name: "Multinomial", since: { 7: multinomial } },
  { name: "Dropout", since: { 1: inference, 12: dropoutOperands } },
];
