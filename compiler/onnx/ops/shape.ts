/**
 * Shapes as values, and operators whose result's shape is computed from them: constants, Shape,
 * Reshape, Expand, Range and their kin. What is known of a shape operand decides the result's
 * shape here; nothing of it reaches a device.
 */
import { broadcastShapes, elementsOf } from "../../graph/builder.ts";
import {
  dimToString, divDimsExact, isStatic, productOf, subDims, symbolsOf, type Dim,
} from "../../graph/dim.ts";
import { isFloat } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import { elementAt, scalar, sizeOf, splat, tensor, type Tensor } from "../../graph/tensor.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, flattenAt, range, sizesVector, squeeze, unsqueeze } from "../lowering.ts";
import { NeedsConcrete } from "../refusal.ts";
import type { Family, Operator, Rule } from "../operator.ts";

// ---- constants -----------------------------------------------------------------------------

/** The forms in which Constant may hold its value. */
const constantForms: Readonly<Record<string, (c: RuleContext, name: string) => Tensor>> = {
  value: (c, name) => c.tensor(name),
  value_float: (c, name) => scalar("float32", c.float(name)),
  value_int: (c, name) => scalar("int64", c.int(name)),
  value_floats: (c, name) => tensor("float32", [c.floats(name).length], c.floats(name)),
  value_ints: (c, name) => tensor("int64", [c.ints(name).length], c.ints(name)),
};

const constant: Rule = (c) => {
  const form = Object.keys(constantForms).find((name) => c.has(name));
  const held = [...c.node.attributes.keys()][0] ?? "no value";
  if (form === undefined) return c.unsupported(`A constant given as ${held} is not supported`);
  return c.b.constant((constantForms[form] as (typeof constantForms)[string])(c, form));
};

const constantOfShape: Rule = (c) => {
  const shape = c.elements(c.input(0));
  const value = c.has("value") ? c.tensor("value") : scalar("float32", 0);
  c.check(sizeOf(value.shape) === 1, "The value of ConstantOfShape must be one element");
  const element = elementAt(value, 0);
  if (isStatic(shape)) return c.b.constant(splat(value.dtype, shape, element));
  return c.b.broadcast(c.b.scalar(value.dtype, element), shape);
};

// ---- shapes as values ----------------------------------------------------------------------

const shape: Rule = (c) => {
  const dims = shapeOf(c.input(0));
  const clampAxis = (axis: number): number =>
    Math.min(Math.max(axis < 0 ? axis + dims.length : axis, 0), dims.length);
  const start = clampAxis(c.int("start", 0));
  const end = c.has("end") ? clampAxis(c.int("end")) : dims.length;
  return sizesVector(c.b, dims.slice(start, Math.max(start, end)));
};

// ---- reshaping -----------------------------------------------------------------------------

/** Sizes asked for, with 0 (copied) and -1 (whatever remains) resolved. */
function reshaped(c: RuleContext, x: Value, wanted: readonly Dim[]): Dim[] {
  const keepZero = c.flag("allowzero");
  const copied = wanted.map((d, i) => {
    if (d !== 0 || keepZero) return d;
    c.check(i < rankOf(x), `A 0 in the shape stands for axis ${i}, which the operand lacks`);
    return dimAt(x, i);
  });
  const open = copied.indexOf(-1);
  c.check(open === copied.lastIndexOf(-1), "Two sizes of the shape are -1");
  if (open < 0) return copied;
  const others = productOf(copied.filter((_, i) => i !== open));
  const remaining = divDimsExact(elementsOf(x), others);
  if (remaining === undefined) {
    const symbols = [...new Set([elementsOf(x), others].flatMap(symbolsOf))].sort();
    if (symbols.length > 0) throw new NeedsConcrete(symbols, "Reshape", c.place);
    return c.fail(`${dimToString(elementsOf(x))} elements do not fit the shape [${copied}]`);
  }
  copied[open] = remaining;
  return copied;
}

const reshape = (wanted: (c: RuleContext) => readonly Dim[]): Rule => (c) => {
  const x = c.input(0);
  return c.b.reshape(x, reshaped(c, x, wanted(c)));
};

/** The shape that both shapes repeat into. */
function joinShapes(c: RuleContext, a: readonly Dim[], b: readonly Dim[]): readonly Dim[] {
  const joined = broadcastShapes(a, b);
  if (!("conflict" in joined)) return joined.shape;
  const symbols = [...new Set([...a, ...b].flatMap(symbolsOf))].sort();
  if (symbols.length > 0) throw new NeedsConcrete(symbols, c.node.operator, c.place);
  return c.fail(`Shapes do not meet: ${joined.conflict}`);
}

const expand: Rule = (c) => {
  const x = c.input(0);
  return c.b.broadcast(x, joinShapes(c, shapeOf(x), c.elements(c.input(1))));
};

/** Axes as an attribute in old opsets, as an operand since; undefined where neither is given. */
function axesOf(c: RuleContext): readonly number[] | undefined {
  const operand = c.optional(1);
  return operand ? c.numbers(operand) : c.has("axes") ? c.ints("axes") : undefined;
}

const squeezeRule: Rule = (c) => {
  const x = c.input(0);
  const given = axesOf(c);
  if (!given) {
    const ones = range(0, rankOf(x)).filter((i) => dimAt(x, i) === 1);
    if (!isStatic(shapeOf(x))) c.concreteShape(shapeOf(x), "Squeeze without axes");
    return squeeze(c.b, x, ones);
  }
  const axes = c.axes(given, rankOf(x));
  for (const axis of axes) {
    const size = dimAt(x, axis);
    c.check(c.concrete(size, "Squeeze") === 1, `Axis ${axis} has size ${size} and cannot go`);
  }
  return squeeze(c.b, x, axes);
};

const unsqueezeRule: Rule = (c) => {
  const x = c.input(0);
  const given = axesOf(c) ?? c.fail("Unsqueeze is given no axes");
  return unsqueeze(c.b, x, c.axes(given, rankOf(x) + given.length));
};

const flatten: Rule = (c) => {
  const x = c.input(0);
  const axis = c.int("axis", 1);
  const rank = rankOf(x);
  c.check(axis >= -rank && axis <= rank, `Axis ${axis} is none of ${rank} axes`);
  return flattenAt(c.b, x, axis < 0 ? axis + rank : axis);
};

// ---- ramps ---------------------------------------------------------------------------------

/** start, start + delta, ... before limit. */
const rangeRule: Rule = (c) => {
  const { b } = c;
  const [start, limit, delta] = c.inputs(3) as [Value, Value, Value];
  const [first, last, step] = [c.element(start), c.element(limit), c.element(delta)];
  const { dtype } = start.type;
  const count = countOf(c, first, last, step);
  const ramp = b.iota([count], 0, isFloat(dtype) ? "int32" : dtype);
  const steps = b.mul(b.cast(ramp, dtype), b.reshape(delta, []));
  return b.addition(steps, b.reshape(start, []));
};

function countOf(c: RuleContext, first: Dim, last: Dim, step: Dim): Dim {
  const span = subDims(last, first);
  if (step === 1 && typeof span !== "number") return span;
  const by = c.concrete(step);
  c.check(by !== 0, "The step of Range is 0");
  if (typeof span !== "number") {
    const exact = divDimsExact(span, by);
    return exact ?? c.concrete(span);
  }
  return Math.max(Math.ceil(span / by), 0);
}

const eyeLike: Rule = (c) => {
  const [{ b }, x] = [c, c.ranked(0, 2)];
  const dtype = c.dtype("dtype", x.type.dtype);
  const rows = b.iota(shapeOf(x), 0, "int32");
  const columns = b.iota(shapeOf(x), 1, "int32");
  const shifted = b.addition(rows, b.full(rows, c.int("k", 0)));
  return b.cast(b.binary("eq", shifted, columns), dtype);
};

const identity = (name: string): Operator => ({ name, since: { 1: (c) => c.input(0) } });

export const shapes: Family = [
  { name: "Constant", since: { 1: constant } },
  { name: "ConstantOfShape", since: { 9: constantOfShape } },
  { name: "Shape", since: { 1: shape } },
  { name: "Size", since: { 1: (c) => c.b.size(elementsOf(c.input(0))) } },
  {
    name: "Reshape",
    since: {
      1: reshape((c) => c.ints("shape")),
      5: reshape((c) => c.elements(c.input(1))),
    },
  },
  { name: "Expand", since: { 8: expand } },
  { name: "Squeeze", since: { 1: squeezeRule } },
  { name: "Unsqueeze", since: { 1: unsqueezeRule } },
  { name: "Flatten", since: { 1: flatten } },
  { name: "Range", since: { 11: rangeRule } },
  { name: "EyeLike", since: { 9: eyeLike } },
  identity("Identity"),
];

