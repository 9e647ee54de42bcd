/**
 * Elementwise primitives: unary, binary, `where`, `cast`, `bitcast`. Meaning on numbers comes from
 * `kernels/scalar.ts`; gradients are one line per operator in the tables below.
 */
import { InternalError } from "../errors.ts";
import {
  dtypeFacts, integerRange, isFloat, isInteger, storageOf, type DType,
} from "../graph/dtype.ts";
import type { Builder } from "../graph/builder.ts";
import {
  binaryOps, unaryOps, type BinaryOp, type Node, type TensorType, type UnaryOp, type Value,
} from "../graph/graph.ts";
import { elementAt, sizeOf, splat, type FloatMode, type Tensor } from "../graph/tensor.ts";
import type { Expr, ScalarType } from "../kernels/expr.ts";
import type { ExprPool } from "../kernels/pool.ts";
import { binaryFloat, binaryInteger, unaryFloat, unaryInteger } from "../kernels/scalar.ts";
import { check, checkSameShape, result, showType, workPerOutput } from "./common.ts";
import type { Primitive } from "./primitive.ts";
import { roundExpr, roundNumber } from "./rounding.ts";

/** Type of an element inside a kernel expression. */
export const scalarTypeOf = (d: DType): ScalarType => (d === "bool" ? "bool" : storageOf(d));

/** Brings a 32-bit result back into the range of a narrow integer type (two's complement wrap). */
export function wrapExpr(pool: ExprPool, e: Expr, dtype: DType): Expr {
  const { kind, bits } = dtypeFacts[dtype];
  if (bits >= 32 || kind === "float" || kind === "bool") return e;
  const range = integerRange(dtype);
  if (e.min >= range.min && e.max <= range.max) return e;
  if (kind === "uint") return pool.binary("and", e, pool.const(2 ** bits - 1, "u32"));
  const shift = pool.const(32 - bits, "i32");
  return pool.binary("shr", pool.binary("shl", e, shift), shift);
}

/** All-splat operands give a splat: constant folding of 100-million-element weights stays free. */
function mapTensors(
  dtype: DType, inputs: readonly Tensor[], mode: FloatMode, of: (...xs: number[]) => number,
): Tensor {
  // 64-bit integers are held as float64, which has a zero too many.
  const isWide = isInteger(dtype) && dtypeFacts[dtype].bits === 64;
  const f = isWide ? (...xs: number[]): number => of(...xs) + 0 : of;
  const shape = (inputs[0] as Tensor).shape;
  if (inputs.every((t) => t.splat)) {
    return splat(dtype, shape, f(...inputs.map((t) => elementAt(t, 0))), mode);
  }
  const [a, b, c] = inputs as [Tensor, Tensor?, Tensor?];
  return result(dtype, shape, mode, (data) => {
    const size = sizeOf(shape);
    if (!b) for (let i = 0; i < size; i++) data[i] = f(elementAt(a, i));
    else if (!c) for (let i = 0; i < size; i++) data[i] = f(elementAt(a, i), elementAt(b, i));
    else {
      for (let i = 0; i < size; i++) data[i] = f(elementAt(a, i), elementAt(b, i), elementAt(c, i));
    }
  });
}

type Chain = (b: Builder, x: Value, y: Value, dy: Value) => Value | undefined;
const one = (b: Builder, like: Value): Value => b.full(like, 1);
const square = (b: Builder, v: Value): Value => b.mul(v, v);

/** dx from input x, output y and cotangent dy. `undefined`: piecewise constant, gradient 0. */
const unaryGradient: Record<UnaryOp, Chain | undefined> = {
  neg: (b, _x, _y, dy) => b.unary("neg", dy),
  abs: (b, x, _y, dy) => b.mul(dy, b.unary("sign", x)),
  sign: undefined, floor: undefined, ceil: undefined, round: undefined, trunc: undefined,
  exp: (b, _x, y, dy) => b.mul(dy, y),
  log: (b, x, _y, dy) => b.div(dy, x),
  sqrt: (b, _x, y, dy) => b.div(dy, b.mul(b.full(y, 2), y)),
  sin: (b, x, _y, dy) => b.mul(dy, b.unary("cos", x)),
  cos: (b, x, _y, dy) => b.unary("neg", b.mul(dy, b.unary("sin", x))),
  tan: (b, _x, y, dy) => b.mul(dy, b.addition(one(b, y), square(b, y))),
  asin: (b, x, _y, dy) => b.div(dy, b.unary("sqrt", b.sub(one(b, x), square(b, x)))),
  acos: (b, x, _y, dy) =>
    b.unary("neg", b.div(dy, b.unary("sqrt", b.sub(one(b, x), square(b, x))))),
  atan: (b, x, _y, dy) => b.div(dy, b.addition(one(b, x), square(b, x))),
  sinh: (b, x, _y, dy) => b.mul(dy, b.unary("cosh", x)),
  cosh: (b, x, _y, dy) => b.mul(dy, b.unary("sinh", x)),
  tanh: (b, _x, y, dy) => b.mul(dy, b.sub(one(b, y), square(b, y))),
  asinh: (b, x, _y, dy) => b.div(dy, b.unary("sqrt", b.addition(square(b, x), one(b, x)))),
  acosh: (b, x, _y, dy) => b.div(dy, b.unary("sqrt", b.sub(square(b, x), one(b, x)))),
  atanh: (b, x, _y, dy) => b.div(dy, b.sub(one(b, x), square(b, x))),
  // d erf = 2/sqrt(pi) exp(-x^2)
  erf: (b, x, _y, dy) => b.mul(b.mul(dy, b.full(x, 2 / Math.sqrt(Math.PI))),
    b.unary("exp", b.unary("neg", square(b, x)))),
  not: undefined, bitnot: undefined, isnan: undefined,
};

type BinaryChain = (
  b: Builder, x: Value, y: Value, out: Value, d: Value,
) => readonly (Value | undefined)[];

/** Each side's share of max/min: all to the winner, half each on a tie. */
const pick = (b: Builder, winner: Value, loser: Value, d: Value, smaller: boolean): Value => {
  const [low, high] = smaller ? [winner, loser] : [loser, winner];
  const half = b.mul(d, b.full(d, 0.5));
  const zero = b.full(d, 0);
  return b.where(b.binary("lt", low, high), d,
    b.where(b.binary("eq", low, high), half, zero));
};

const binaryGradient: Record<BinaryOp, BinaryChain | undefined> = {
  add: (_b, _x, _y, _o, d) => [d, d],
  sub: (b, _x, _y, _o, d) => [d, b.unary("neg", d)],
  mul: (b, x, y, _o, d) => [b.mul(d, y), b.mul(d, x)],
  div: (b, _x, y, o, d) => [b.div(d, y), b.unary("neg", b.mul(d, b.div(o, y)))],
  // a - b*trunc(a/b), trunc constant between jumps
  rem: (b, x, y, _o, d) => [d, b.unary("neg", b.mul(d, b.unary("trunc", b.div(x, y))))],
  pow: (b, x, y, o, d) => {
    const less = b.binary("pow", x, b.sub(y, one(b, y)));
    const zero = b.full(x, 0);
    // y*x^(y-1) is 0 where y = 0 even at x = 0; log only where x > 0.
    const dx = b.where(b.binary("eq", y, zero), zero, b.mul(d, b.mul(y, less)));
    const positive = b.binary("lt", zero, x);
    const log = b.unary("log", b.where(positive, x, one(b, x)));
    return [dx, b.mul(d, b.mul(o, log))];
  },
  max: (b, x, y, _o, d) => [pick(b, x, y, d, false), pick(b, y, x, d, false)],
  min: (b, x, y, _o, d) => [pick(b, x, y, d, true), pick(b, y, x, d, true)],
  and: undefined, or: undefined, xor: undefined, shl: undefined, shr: undefined,
  eq: undefined, lt: undefined, le: undefined,
};

const boolResult = new Set<string>(["eq", "lt", "le", "isnan"]);
const boolOperands = new Set<string>(["and", "or", "xor", "not", "eq"]);

function unary(op: UnaryOp): Primitive<UnaryOp> {
  return {
    infer([a]) {
      const t = a as TensorType;
      const defined = t.dtype === "bool" ? boolOperands.has(op)
        : isFloat(t.dtype) ? unaryFloat[op] : op !== "not" && unaryInteger[op];
      check(Boolean(defined), op, "an operand type it is defined on", showType(t));
      return { dtype: boolResult.has(op) ? "bool" : t.dtype, shape: t.shape };
    },
    evaluate([a], _attrs, mode) {
      const t = a as Tensor;
      const f = (isFloat(t.dtype) ? unaryFloat : unaryInteger)[op];
      if (!f) throw new InternalError(`${op} has no meaning on ${t.dtype}`);
      return mapTensors(boolResult.has(op) ? "bool" : t.dtype, [t], mode, f);
    },
    gradient(b, node, d) {
      return [unaryGradient[op]?.(b, node.inputs[0] as Value, node.outputs[0] as Value, d)];
    },
    lower: {
      kind: "view",
      at({ pool, node, read }, indices) {
        const a = read(0, indices);
        const dtype = (node.inputs[0] as Value).type.dtype;
        return wrapExpr(pool, pool.unary(op, a), boolResult.has(op) ? "bool" : dtype);
      },
    },
    work: workPerOutput,
    isMovement: false,
  };
}

/** 64-bit bitwise operators go through BigInt: evaluation holds 64-bit integers as float64. */
const bigBitwise: Partial<Record<BinaryOp, (a: bigint, b: bigint) => bigint>> = {
  and: (a, b) => a & b, or: (a, b) => a | b, xor: (a, b) => a ^ b,
  shl: (a, b) => (b >= 64n ? 0n : a << b), shr: (a, b) => (b >= 64n ? 0n : a >> b),
};

function integerFunction(op: BinaryOp, dtype: DType): (a: number, b: number) => number {
  const big = bigBitwise[op];
  if (dtypeFacts[dtype].bits === 64 && big) {
    const wrap = dtype === "uint64" ? BigInt.asUintN : BigInt.asIntN;
    return (x, y) => Number(wrap(64, big(wrap(64, BigInt(x)), wrap(64, BigInt(y)))));
  }
  if (dtypeFacts[dtype].bits === 64 && op === "mul") return (x, y) => x * y;
  if (dtypeFacts[dtype].bits === 64 && op === "pow") return (x, y) => Math.trunc(Math.pow(x, y));
  // Math.imul-style results are signed; typed arrays wrap the rest when they store it.
  return binaryInteger[op];
}

function binary(op: BinaryOp): Primitive<BinaryOp> {
  return {
    infer(inputs) {
      const [a, b] = inputs as [TensorType, TensorType];
      const shape = checkSameShape(op, inputs);
      check(a.dtype === b.dtype, op, `a second operand of ${a.dtype}`, b.dtype);
      const defined = a.dtype === "bool" ? boolOperands.has(op)
        : !isFloat(a.dtype) || binaryFloat[op] !== undefined;
      check(defined, op, "an operand type it is defined on", showType(a));
      return { dtype: boolResult.has(op) ? "bool" : a.dtype, shape };
    },
    evaluate(inputs, _attrs, mode) {
      const [a, b] = inputs as [Tensor, Tensor];
      const f = isFloat(a.dtype) ? binaryFloat[op] : integerFunction(op, a.dtype);
      if (!f) throw new InternalError(`${op} has no meaning on ${a.dtype}`);
      return mapTensors(boolResult.has(op) ? "bool" : a.dtype, [a, b], mode, f);
    },
    gradient(b, node, d) {
      const [x, y] = node.inputs as [Value, Value];
      return binaryGradient[op]?.(b, x, y, node.outputs[0] as Value, d) ?? [undefined, undefined];
    },
    lower: {
      kind: "view",
      at({ pool, node, read }, indices) {
        const e = pool.binary(op, read(0, indices), read(1, indices));
        const dtype = (node.inputs[0] as Value).type.dtype;
        return wrapExpr(pool, e, boolResult.has(op) ? "bool" : dtype);
      },
    },
    work: workPerOutput,
    isMovement: false,
  };
}

export const unaryPrimitives = Object.fromEntries(
  unaryOps.map((op) => [op, unary(op)]),
) as { [O in UnaryOp]: Primitive<O> };

export const binaryPrimitives = Object.fromEntries(
  binaryOps.map((op) => [op, binary(op)]),
) as { [O in BinaryOp]: Primitive<O> };

export const where: Primitive<"where"> = {
  infer(inputs) {
    const [c, a, b] = inputs as [TensorType, TensorType, TensorType];
    check(c.dtype === "bool", "where", "a bool condition", c.dtype);
    check(a.dtype === b.dtype, "where", `branches of one type, ${a.dtype}`, b.dtype);
    return { dtype: a.dtype, shape: checkSameShape("where", inputs) };
  },
  evaluate(inputs, _attrs, mode) {
    return mapTensors((inputs[1] as Tensor).dtype, inputs, mode,
      (c, a, b) => (c ? a : b) as number);
  },
  gradient(b, node, d) {
    const cond = node.inputs[0] as Value;
    const zero = b.full(d, 0);
    return [undefined, b.where(cond, d, zero), b.where(cond, zero, d)];
  },
  lower: {
    kind: "view",
    at: ({ pool, read }, i) => pool.select(read(0, i), read(1, i), read(2, i)),
  },
  work: workPerOutput,
  isMovement: false,
};

/** What casting a number to `to` gives, before the target array stores it. */
function castNumber(to: DType): (x: number) => number {
  const { kind, bits } = dtypeFacts[to];
  if (kind === "bool") return (x) => (x !== 0 ? 1 : 0);
  if (kind === "float") return roundNumber[to] ?? ((x) => x);
  const signed = kind === "int";
  const low = signed ? -(2 ** (bits - 1)) : 0;
  const high = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return (x) => (Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), low), high));
}

export const cast: Primitive<"cast"> = {
  infer: ([a], { dtype }) => ({ dtype, shape: (a as TensorType).shape }),
  evaluate([a], { dtype }, mode) {
    const source = a as Tensor;
    // Integer to integer wraps (the arrays do it, from 32 bits); everything else saturates.
    const wraps = !isFloat(source.dtype) && isInteger(dtype) && dtypeFacts[dtype].bits <= 32;
    return mapTensors(dtype, [source], mode, wraps ? (x) => x | 0 : castNumber(dtype));
  },
  gradient(b, node, d) {
    const from = (node.inputs[0] as Value).type.dtype;
    return [isFloat(from) && isFloat(node.attrs.dtype) ? b.cast(d, from) : undefined];
  },
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const { dtype } = node.attrs;
      const from = (node.inputs[0] as Value).type.dtype;
      const e = read(0, indices);
      const narrow = dtypeFacts[dtype].bits < 32 && !isFloat(dtype) && dtype !== "bool";
      if (narrow && isFloat(from)) {
        // Saturates to 32 bits, then to fewer; integers are clipped faster than floats, which may
        // be NaN.
        const { min, max } = integerRange(dtype);
        const type = scalarTypeOf(dtype);
        const low = pool.binary("max", pool.cast(e, type), pool.const(min, type));
        return pool.binary("min", low, pool.const(max, type));
      }
      const converted = pool.cast(e, scalarTypeOf(dtype));
      const round = from === dtype ? undefined : roundExpr[dtype];
      return round ? round(pool, converted) : wrapExpr(pool, converted, dtype);
    },
  },
  work: workPerOutput,
  isMovement: false,
};

export const bitcast: Primitive<"bitcast"> = {
  infer([a], { dtype }) {
    const t = a as TensorType;
    for (const d of [t.dtype, dtype]) {
      check(["float32", "int32", "uint32"].includes(d), "bitcast", "a 32-bit type", d);
    }
    return { dtype, shape: t.shape };
  },
  evaluate([a], { dtype }) {
    const source = a as Tensor;
    const words = source.dtype === "int32" ? Int32Array.from(source.data)
      : source.dtype === "uint32" ? Uint32Array.from(source.data) : Float32Array.from(source.data);
    const view = dtype === "int32" ? new Int32Array(words.buffer)
      : dtype === "uint32" ? new Uint32Array(words.buffer) : new Float32Array(words.buffer);
    return { dtype, shape: source.shape, data: view, splat: source.splat };
  },
  gradient: () => [undefined],
  lower: {
    kind: "view",
    at: ({ pool, node, read }, i) => pool.bitcast(read(0, i), scalarTypeOf(node.attrs.dtype)),
  },
  work: workPerOutput,
  isMovement: false,
};

export const isElementwise = (node: Node): boolean =>
  elementwiseNames.has(node.op);
const elementwiseNames = new Set<string>([
  ...unaryOps, ...binaryOps, "where", "cast", "bitcast",
]);
