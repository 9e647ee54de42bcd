/**
 * Rewrites a graph of real numbers into one over complex numbers, as pairs of real values: how the
 * sweeps and rules of a block run with a complex nudge (holomorphic EP, Laborieux & Zenke 2022,
 * arXiv 2209.00530). Values that no complex input reaches stay single.
 *
 * What is piecewise constant or a choice (comparisons, rounding, max) looks at the real part: that
 * is its analytic continuation off the switching set. Whether a *unit* may be treated so is not
 * decided here (`units.ts`): a clamp would be continued, but its kinks end the convergence.
 */
import { InternalError, UserError } from "../errors.ts";
import { isFloat } from "../graph/dtype.ts";
import { Builder } from "../graph/builder.ts";
import type { Graph, Node, PrimName, Value } from "../graph/graph.ts";
import { ancestors } from "../passes/gradient.ts";
import { finish } from "./inline.ts";

/** x + iy; `im` absent means 0. */
export interface Complex {
  readonly re: Value;
  readonly im?: Value | undefined;
}

export const realName = (name: string): string => `${name}.re`;
export const imaginaryName = (name: string): string => `${name}.im`;

/** Called only when at least one operand is complex. */
type Rule = (b: Builder, node: Node, operands: readonly Complex[]) => Complex;

const again = (b: Builder, node: Node, operands: readonly Value[]): Value =>
  b.add(node.op, operands, node.attrs);
const realParts = (operands: readonly Complex[]): Value[] => operands.map(({ re }) => re);
const imOf = (b: Builder, z: Complex): Value => z.im ?? b.full(z.re, 0);
const isComplex = (z: Complex): boolean => z.im !== undefined;
const square = (b: Builder, v: Value): Value => b.mul(v, v);

const refused: Rule = (_b, node) => {
  throw new UserError(`The operation ${node.op} has no continuation to complex numbers`, {
    place: node.outputs[0]?.name ?? node.op,
    remedy: "use an estimator with real nudges, such as centered EP",
  });
};
/** Locally constant: a function of the real part. */
const constantPart: Rule = (b, node, zs) => ({ re: again(b, node, realParts(zs)) });
/** Linear in all operands together: parts do not mix. */
const linear: Rule = (b, node, zs) => ({
  re: again(b, node, realParts(zs)), im: again(b, node, zs.map((z) => imOf(b, z))),
});
/** Linear in each of two operands. */
const bilinear: Rule = (b, node, [x, y]) => {
  const at = (p: Value, q: Value): Value => again(b, node, [p, q]);
  const [z, w] = [x as Complex, y as Complex];
  if (!w.im) return { re: at(z.re, w.re), im: at(z.im as Value, w.re) };
  if (!z.im) return { re: at(z.re, w.re), im: at(z.re, w.im) };
  return {
    re: b.sub(at(z.re, w.re), at(z.im, w.im)),
    im: b.addition(at(z.re, w.im), at(z.im, w.re)),
  };
};
const times = (b: Builder, x: Complex, y: Complex): Complex => {
  if (!x.im || !y.im) {
    const [real, other] = x.im ? [y, x] : [x, y];
    return { re: b.mul(real.re, other.re), im: other.im && b.mul(real.re, other.im) };
  }
  return {
    re: b.sub(b.mul(x.re, y.re), b.mul(x.im, y.im)),
    im: b.addition(b.mul(x.re, y.im), b.mul(x.im, y.re)),
  };
};
const quotient = (b: Builder, x: Complex, y: Complex): Complex => {
  if (!y.im) return { re: b.div(x.re, y.re), im: x.im && b.div(x.im, y.re) };
  const norm = b.addition(square(b, y.re), square(b, y.im));
  const { re, im } = times(b, x, { re: y.re, im: b.unary("neg", y.im) });
  return { re: b.div(re, norm), im: im && b.div(im, norm) };
};
/** The operand that `pickFirst`, a condition on real parts, chooses. */
const chosen = (b: Builder, pickFirst: Value, x: Complex, y: Complex): Complex => ({
  re: b.where(pickFirst, x.re, y.re), im: b.where(pickFirst, imOf(b, x), imOf(b, y)),
});
/** From x and y as real values: for functions of one operand, which is complex here. */
const unary = (f: (b: Builder, x: Value, y: Value) => Complex): Rule =>
  (b, _node, [z]) => f(b, (z as Complex).re, (z as { im: Value }).im);

const rules: { readonly [O in PrimName]: Rule } = {
  neg: linear,
  abs: unary((b, x, y) => {
    const negative = b.binary("lt", x, b.full(x, 0));
    return chosen(b, negative, { re: b.unary("neg", x), im: b.unary("neg", y) }, { re: x, im: y });
  }),
  sign: constantPart, floor: constantPart, ceil: constantPart, round: constantPart,
  trunc: constantPart, isnan: constantPart,
  exp: unary((b, x, y) => {
    const size = b.unary("exp", x);
    return { re: b.mul(size, b.unary("cos", y)), im: b.mul(size, b.unary("sin", y)) };
  }),
  // ln|z| + i*arg z, arg z = 2*atan(y/(|z| + x)), away from the negative real axis
  log: unary((b, x, y) => {
    const size = b.unary("sqrt", b.addition(square(b, x), square(b, y)));
    const half = b.unary("atan", b.div(y, b.addition(size, x)));
    return { re: b.unary("log", size), im: b.addition(half, half) };
  }),
  sin: unary((b, x, y) => ({
    re: b.mul(b.unary("sin", x), b.unary("cosh", y)),
    im: b.mul(b.unary("cos", x), b.unary("sinh", y)),
  })),
  cos: unary((b, x, y) => ({
    re: b.mul(b.unary("cos", x), b.unary("cosh", y)),
    im: b.unary("neg", b.mul(b.unary("sin", x), b.unary("sinh", y))),
  })),
  sinh: unary((b, x, y) => ({
    re: b.mul(b.unary("sinh", x), b.unary("cos", y)),
    im: b.mul(b.unary("cosh", x), b.unary("sin", y)),
  })),
  cosh: unary((b, x, y) => ({
    re: b.mul(b.unary("cosh", x), b.unary("cos", y)),
    im: b.mul(b.unary("sinh", x), b.unary("sin", y)),
  })),
  // (tanh x + i tan y)/(1 + i tanh x tan y), which does not overflow
  tanh: unary((b, x, y) => {
    const [t, u] = [b.unary("tanh", x), b.unary("tan", y)];
    return quotient(b, { re: t, im: u }, { re: b.full(t, 1), im: b.mul(t, u) });
  }),
  sqrt: refused, tan: refused, asin: refused, acos: refused, atan: refused, asinh: refused,
  acosh: refused, atanh: refused, erf: refused, not: refused, bitnot: refused,
  add: linear, sub: linear,
  mul: (b, _node, [x, y]) => times(b, x as Complex, y as Complex),
  div: (b, _node, [x, y]) => quotient(b, x as Complex, y as Complex),
  max: (b, _node, [x, y]) => {
    const [z, w] = [x as Complex, y as Complex];
    return chosen(b, b.binary("le", w.re, z.re), z, w);
  },
  min: (b, _node, [x, y]) => {
    const [z, w] = [x as Complex, y as Complex];
    return chosen(b, b.binary("le", z.re, w.re), z, w);
  },
  rem: refused, pow: refused, and: refused, or: refused, xor: refused, shl: refused, shr: refused,
  eq: constantPart, lt: constantPart, le: constantPart,
  where: (b, _node, [cond, x, y]) =>
    chosen(b, (cond as Complex).re, x as Complex, y as Complex),
  cast: (b, node, zs) => (isFloat((node.outputs[0] as Value).type.dtype)
    ? linear(b, node, zs) : constantPart(b, node, zs)),
  bitcast: refused, constant: refused, size: refused, iota: refused, random: refused,
  normal: refused,
  reshape: linear, transpose: linear, broadcast: linear, slice: linear, flip: linear,
  pad(b, node, zs) {
    const attrs = { ...(node as Node<"pad">).attrs, value: 0 };
    const im = b.add("pad", zs.map((z) => imOf(b, z)), attrs);
    return { re: again(b, node, realParts(zs)), im };
  },
  concat: linear, window: linear, unwindow: linear,
  gather: (b, node, [data, indices]) => ({
    re: again(b, node, [(data as Complex).re, (indices as Complex).re]),
    im: again(b, node, [imOf(b, data as Complex), (indices as Complex).re]),
  }),
  scatter: refused, argsort: refused,
  reduce(b, node, [z]) {
    const { kind, axes } = (node as Node<"reduce">).attrs;
    const { re, im } = z as { re: Value; im: Value };
    if (kind === "sum") return linear(b, node, [{ re, im }]);
    if (kind === "prod") return refused(b, node, []);
    // The element that wins by its real part; ties share.
    const best = again(b, node, [re]);
    const kept = re.type.shape.map((d, i) => (axes.includes(i) ? 1 : d));
    const wins = b.binary("eq", re, b.reshape(best, kept));
    const mask = b.where(wins, b.full(re, 1), b.full(re, 0));
    const total = b.reduce("sum", b.mul(mask, im), axes);
    return { re: best, im: b.div(total, b.reduce("sum", mask, axes)) };
  },
  cumulate: (b, node, zs) =>
    ((node as Node<"cumulate">).attrs.kind === "sum" ? linear : refused)(b, node, zs),
  dot: bilinear, conv: bilinear,
};

/**
 * The graph over complex numbers. Inputs named in `complex` become `NAME.re` and `NAME.im`; so
 * does every output, or only its real part, under its own name, with `realOnly`.
 * @throws UserError where an operation on complex values has no continuation.
 */
export function complexGraph(
  graph: Graph, complex: ReadonlySet<string>, realOnly: ReadonlySet<string> = new Set(),
): Graph {
  const b = new Builder(`${graph.name}.complex`);
  const values = new Map<Value, Complex>();
  for (const v of graph.inputs) {
    values.set(v, complex.has(v.name)
      ? { re: b.input(realName(v.name), v.type), im: b.input(imaginaryName(v.name), v.type) }
      : { re: b.input(v.name, v.type) });
  }
  for (const node of ancestors(graph.outputs.map(({ value }) => value))) {
    const operands = node.inputs.map((v) => values.get(v) as Complex);
    const z = b.from(node.origin, () => (operands.some(isComplex)
      ? rules[node.op](b, node, operands) : { re: again(b, node, realParts(operands)) }));
    values.set(node.outputs[0] as Value, z);
  }
  return finish(b, graph.outputs.flatMap(({ name, value }) => {
    const z = values.get(value);
    if (!z) throw new InternalError(`output ${name} was not rewritten`);
    return realOnly.has(name) ? [[name, z.re] as const]
      : [[realName(name), z.re] as const, [imaginaryName(name), imOf(b, z)] as const];
  }));
}
