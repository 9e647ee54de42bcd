/**
 * How each primitive is written as ONNX operators, in their opset 21 forms: one rule per primitive,
 * complete by its type. Not the encoding of a file, which is `write.ts`. Primitives that no stable
 * operator expresses are refused by name.
 */
import { isStatic, productOf, type Dim } from "../graph/dim.ts";
import { dtypeFacts, isFloat, type DType } from "../graph/dtype.ts";
import type {
  BinaryOp, Node, PrimName, ReduceKind, ScatterKind, UnaryOp, Value,
} from "../graph/graph.ts";
import { scalar, tensor, type Tensor } from "../graph/tensor.ts";
import { elementTypeCode } from "./elementTypes.ts";
import { UnsupportedError } from "./refusal.ts";

export type WrittenAttribute = number | string | readonly number[] | Tensor;

/** What a rule writes with. Names stand for values of the file. */
export interface NodeWriter {
  /** Adds a node with one output and gives its name. */
  emit(
    operator: string, inputs: readonly string[],
    attributes?: Readonly<Record<string, WrittenAttribute>>,
  ): string;
  weight(t: Tensor): string;
  /** A size as an int64 vector of one element. */
  size(d: Dim): string;
  /** Sizes as an int64 vector. */
  shape(dims: readonly Dim[]): string;
  nameOf(v: Value): string;
}

export type WriteRule<O extends PrimName> = (w: NodeWriter, node: Node<O>) => string;

const input = (node: Node, i = 0): Value => node.inputs[i] as Value;
const shapeAt = (node: Node, i = 0): readonly Dim[] => input(node, i).type.shape;
const output = (node: Node): Value => node.outputs[0] as Value;
const int64 = (...values: readonly number[]): Tensor => tensor("int64", [values.length], values);
const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i);

function refuse(node: Node, what: string): never {
  throw new UnsupportedError(`${what} cannot be written as ONNX`, `value "${output(node).name}"`,
    "leave it out of what is exported");
}

export const cast = (w: NodeWriter, name: string, to: DType): string =>
  w.emit("Cast", [name], { to: elementTypeCode(to) });

const reshape = (w: NodeWriter, name: string, shape: readonly Dim[]): string => {
  // One size that is no number needs no arithmetic: -1 stands for it. A 0 is meant as one.
  const open = shape.filter((d) => typeof d !== "number");
  const target = open.length === 1 && shape.every((d) => d !== 0)
    ? w.weight(int64(...shape.map((d) => (typeof d === "number" ? d : -1)))) : w.shape(shape);
  return w.emit("Reshape", [name, target], { allowzero: 1 });
};

// ---- elementwise ---------------------------------------------------------------------------

const one = (operator: string): WriteRule<UnaryOp> => (w, node) =>
  w.emit(operator, [w.nameOf(input(node))]);

const rounding = (operator: string): WriteRule<UnaryOp> => (w, node) =>
  (isFloat(input(node).type.dtype) ? one(operator)(w, node)
    : w.emit("Identity", [w.nameOf(input(node))]));

/** Toward zero: up below zero, down above. */
const trunc: WriteRule<UnaryOp> = (w, node) => {
  const x = w.nameOf(input(node));
  if (!isFloat(input(node).type.dtype)) return w.emit("Identity", [x]);
  const negative = w.emit("Less", [x, w.weight(scalar(input(node).type.dtype, 0))]);
  return w.emit("Where", [negative, w.emit("Ceil", [x]), w.emit("Floor", [x])]);
};

const unary: { readonly [O in UnaryOp]: WriteRule<UnaryOp> } = {
  // Unsigned numbers have no Neg; 0 - x wraps the same way.
  neg: (w, node) => (dtypeFacts[input(node).type.dtype].kind === "uint"
    ? w.emit("Sub", [w.weight(scalar(input(node).type.dtype, 0)), w.nameOf(input(node))])
    : one("Neg")(w, node)),
  abs: one("Abs"), sign: one("Sign"),
  floor: rounding("Floor"), ceil: rounding("Ceil"), round: rounding("Round"), trunc,
  exp: one("Exp"), log: one("Log"), sqrt: one("Sqrt"), erf: one("Erf"),
  sin: one("Sin"), cos: one("Cos"), tan: one("Tan"),
  asin: one("Asin"), acos: one("Acos"), atan: one("Atan"),
  sinh: one("Sinh"), cosh: one("Cosh"), tanh: one("Tanh"),
  asinh: one("Asinh"), acosh: one("Acosh"), atanh: one("Atanh"),
  not: one("Not"), bitnot: one("BitwiseNot"), isnan: one("IsNaN"),
};

const two = (
  operator: string, attributes?: Readonly<Record<string, WrittenAttribute>>,
): WriteRule<BinaryOp> => (w, node) =>
  w.emit(operator, node.inputs.map((v) => w.nameOf(v)), attributes);

const logic = (onBool: string, onBits: string): WriteRule<BinaryOp> => (w, node) =>
  two(input(node).type.dtype === "bool" ? onBool : onBits)(w, node);

/** ONNX shifts unsigned integers only. */
const shift = (direction: "LEFT" | "RIGHT"): WriteRule<BinaryOp> => (w, node) =>
  (dtypeFacts[input(node).type.dtype].kind === "uint" ? two("BitShift", { direction })(w, node)
    : refuse(node, "A shift of signed integers"));

const binary: { readonly [O in BinaryOp]: WriteRule<BinaryOp> } = {
  add: two("Add"), sub: two("Sub"), mul: two("Mul"), div: two("Div"), pow: two("Pow"),
  rem: two("Mod", { fmod: 1 }), max: two("Max"), min: two("Min"),
  and: logic("And", "BitwiseAnd"), or: logic("Or", "BitwiseOr"), xor: logic("Xor", "BitwiseXor"),
  shl: shift("LEFT"), shr: shift("RIGHT"),
  eq: two("Equal"), lt: two("Less"), le: two("LessOrEqual"),
};

// ---- movement ------------------------------------------------------------------------------

const slice = (
  w: NodeWriter, name: string, starts: readonly Dim[], ends: readonly Dim[],
  steps: readonly number[],
): string => w.emit("Slice", [
  name, w.shape(starts), w.shape(ends), w.weight(int64(...range(0, steps.length))),
  w.weight(int64(...steps)),
]);

const sliceRule: WriteRule<"slice"> = (w, node) => {
  const { starts, sizes, steps } = node.attrs;
  const name = w.nameOf(input(node));
  // First the part from the starts on, by the operand's own size; then as many as are wanted.
  const all = shapeAt(node);
  const from = starts.every((d) => d === 0) ? name
    : slice(w, name, starts, all, all.map(() => 1));
  const each = steps.every((s) => s === 1) ? from
    : slice(w, from, all.map(() => 0), all, steps);
  return slice(w, each, all.map(() => 0), sizes, all.map(() => 1));
};

const flip: WriteRule<"flip"> = (w, node) => {
  const { axes } = node.attrs;
  return w.emit("Slice", [
    w.nameOf(input(node)), w.weight(int64(...axes.map(() => -1))),
    // Before the first element, however long the axis is.
    w.weight(int64(...axes.map(() => -(2 ** 31) + 1))), w.weight(int64(...axes)),
    w.weight(int64(...axes.map(() => -1))),
  ]);
};

/** Zeros between neighbours: every element becomes a block, and the last block is cut short. */
function spread(w: NodeWriter, name: string, node: Node<"pad">): string {
  const { interior, value } = node.attrs;
  if (interior.every((n) => n === 0)) return name;
  const shape = shapeAt(node);
  const { dtype } = input(node).type;
  if (!isStatic(shape) || shape.includes(0)) {
    return refuse(node, "Spreading a symbolic or empty axis");
  }
  const apart = reshape(w, name, shape.flatMap((d) => [d, 1]));
  const pads = [...shape.map(() => 0).flatMap(() => [0, 0]), ...interior.flatMap((n) => [0, n])];
  const filled = w.emit("Pad", [apart, w.weight(int64(...pads)), w.weight(scalar(dtype, value))]);
  const wide = shape.map((d, i) => d * ((interior[i] as number) + 1));
  return slice(w, reshape(w, filled, wide), shape.map(() => 0),
    wide.map((d, i) => d - (interior[i] as number)), shape.map(() => 1));
}

const pad: WriteRule<"pad"> = (w, node) => {
  const { low, high, value } = node.attrs;
  const name = spread(w, w.nameOf(input(node)), node);
  if ([...low, ...high].every((n) => n === 0)) return w.emit("Identity", [name]);
  return w.emit("Pad", [
    name, w.weight(int64(...low, ...high)), w.weight(scalar(input(node).type.dtype, value)),
  ]);
};

/** Element numbers of each window of an axis, [positions, kernel]. */
function windowIndices(count: number, kernel: number, stride: number, dilation: number): Tensor {
  const at = range(0, count).flatMap((p) => range(0, kernel).map((k) => p * stride + k * dilation));
  return tensor("int64", [count, kernel], at);
}

interface Windows {
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
}

function windowsOf(node: Node, attrs: Windows, counts: readonly Dim[]): Tensor[] {
  if (!isStatic(counts)) return refuse(node, "Windows over a symbolic axis");
  return attrs.sizes.map((k, i) => windowIndices(
    counts[i] as number, k, attrs.strides[i] as number, attrs.dilations[i] as number));
}

const window: WriteRule<"window"> = (w, node) => {
  const n = node.attrs.sizes.length;
  const lead = shapeAt(node).length - n;
  const counts = output(node).type.shape.slice(lead, lead + n);
  return gatherWindows(w, w.nameOf(input(node)), lead, windowsOf(node, node.attrs, counts));
};

/** Sums windows back: each axis is a product with the 0/1 matrix of what lands where. */
const unwindow: WriteRule<"unwindow"> = (w, node) => {
  const { dtype } = input(node).type;
  const { shape, sizes } = node.attrs;
  const n = sizes.length;
  const lead = shape.length - n;
  const counts = shapeAt(node).slice(lead, lead + n);
  const extents = shape.slice(lead);
  if (!isStatic(extents) || !isFloat(dtype)) return refuse(node, "Summing windows of this type");
  const indices = windowsOf(node, node.attrs, counts);
  // [.., OH, OW, kh, kw]: the last axis's pair is brought to the end, summed, and brought back.
  let name = w.nameOf(input(node));
  let dims = [...shapeAt(node)];
  for (let i = n - 1; i >= 0; i--) {
    const [position, tap] = [lead + i, lead + n + i];
    const rest = range(0, dims.length).filter((axis) => axis !== position && axis !== tap);
    const moved = w.emit("Transpose", [name], { perm: [...rest, position, tap] });
    const held = indices[i] as Tensor;
    const extent = extents[i] as number;
    const matrix = new Float32Array(held.data.length * extent);
    held.data.forEach((at: number, row: number) => {
      if (at < extent) matrix[row * extent + at] = 1;
    });
    const kept = rest.map((axis) => dims[axis] as Dim);
    const rows = reshape(w, moved, [...kept, held.data.length]);
    const numbers = tensor("float32", [held.data.length, extent], matrix);
    const landed = cast(w, w.weight(numbers), dtype);
    const summed = w.emit("MatMul", [rows, landed]);
    // The summed axis takes the place of its positions; its taps are gone.
    const order = range(0, rest.length);
    order.splice(position, 0, rest.length);
    name = w.emit("Transpose", [summed], { perm: order });
    const all = [...kept, extent as Dim];
    dims = order.map((axis) => all[axis] as Dim);
  }
  return name;
};

// ---- the rest ------------------------------------------------------------------------------

/** 0, 1, .. along one axis, repeated over the others. */
const iota: WriteRule<"iota"> = (w, node) => {
  const { shape, axis, dtype } = node.attrs;
  const zero = w.weight(scalar("int64", 0));
  const limit = w.emit("Squeeze", [w.size(shape[axis] as Dim), w.weight(int64(0))]);
  const line = w.emit("Range", [zero, limit, w.weight(scalar("int64", 1))]);
  const alone = reshape(w, cast(w, line, dtype), shape.map((d, i) => (i === axis ? d : 1)));
  return w.emit("Expand", [alone, w.shape(shape)]);
};

const reductions: Readonly<Record<ReduceKind, string>> = {
  sum: "ReduceSum", max: "ReduceMax", min: "ReduceMin", prod: "ReduceProd",
};

/** Scatter's `none` keeps the last of several updates, as ONNX's reference does. */
const combinations: Readonly<Record<ScatterKind, string>> = {
  none: "none", add: "add", mul: "mul", max: "max", min: "min",
};

/** Products of the elements up to each one: a square of them, with 1 in place of later ones. */
function runningProduct(w: NodeWriter, node: Node<"cumulate">): string {
  const { axis } = node.attrs;
  const shape = shapeAt(node);
  const extent = shape[axis] as Dim;
  if (typeof extent !== "number") return refuse(node, "A running product of symbolic length");
  const ones = shape.slice(axis + 1).map(() => 1);
  const square = range(0, extent * extent).map((at) =>
    (at % extent <= Math.floor(at / extent) ? 1 : 0));
  const mask = w.weight(tensor("bool", [extent, extent, ...ones], square));
  const apart = w.emit("Unsqueeze", [w.nameOf(input(node)), w.weight(int64(axis))]);
  const one = w.weight(scalar(input(node).type.dtype, 1));
  const kept = w.emit("Where", [mask, apart, one]);
  return w.emit("ReduceProd", [kept, w.weight(int64(axis + 1))], { keepdims: 0 });
}

const dot: WriteRule<"dot"> = (w, node) => {
  const { batch, contract } = node.attrs;
  const [a, b] = [shapeAt(node, 0), shapeAt(node, 1)];
  const lead = a.slice(0, batch);
  const [m, k] = [a.slice(batch, a.length - contract), a.slice(a.length - contract)];
  const n = b.slice(batch + contract);
  const plain = m.length === 1 && k.length === 1 && n.length === 1;
  const joined = (v: Value, ...parts: readonly (readonly Dim[])[]): string => (plain ? w.nameOf(v)
    : reshape(w, w.nameOf(v), [...lead, ...parts.map(productOf)]));
  const product = w.emit("MatMul", [joined(input(node, 0), m, k), joined(input(node, 1), k, n)]);
  return plain ? product : reshape(w, product, [...lead, ...m, ...n]);
};

/** Windows of `name` gathered axis by axis: [.., positions.., kernel..] from axis `lead` on. */
function gatherWindows(
  w: NodeWriter, name: string, lead: number, indices: readonly Tensor[],
): string {
  const n = indices.length;
  // Every axis before the gathered one has become two.
  const gathered = indices.reduce((held, list, i) =>
    w.emit("Gather", [held, w.weight(list)], { axis: lead + 2 * i }), name);
  return w.emit("Transpose", [gathered], {
    perm: [...range(0, lead), ...range(0, n).map((i) => lead + 2 * i),
      ...range(0, n).map((i) => lead + 2 * i + 1)],
  });
}

const around = (pads: readonly number[]): number[] => [0, 0, ...pads];

/** Runtimes convolve floats only: of integers, windows are taken and multiplied, which is exact. */
function integerConv(w: NodeWriter, node: Node<"conv">): string {
  const { strides, dilations, low, high, groups } = node.attrs;
  const [batch, channels] = shapeAt(node) as [Dim, Dim];
  const [outputs, , ...taps] = shapeAt(node, 1);
  const positions = output(node).type.shape.slice(2);
  const all = [channels, outputs, ...taps, ...positions] as readonly Dim[];
  if (!isStatic(all)) return refuse(node, "An integer convolution over symbolic sizes");
  const [c, o, ...rest] = all as [number, number, ...number[]];
  const [inner, each] = [c / groups, o / groups];
  const [kernel, count] = [rest.slice(0, taps.length), rest.slice(taps.length)];
  const [k, p] = [kernel.reduce((x, d) => x * d, 1), count.reduce((x, d) => x * d, 1)];
  const padded = w.emit("Pad", [
    w.nameOf(input(node)), w.weight(int64(...around(low), ...around(high))),
  ]);
  const seen = gatherWindows(w, padded, 2,
    windowsOf(node, { sizes: kernel, strides, dilations }, count));
  const columns = w.emit("Transpose", [reshape(w, seen, [batch, groups, inner, p, k])],
    { perm: [0, 1, 2, 4, 3] });
  const weights = reshape(w, w.nameOf(input(node, 1)), [1, groups, each, inner * k]);
  const product = w.emit("MatMul", [weights, reshape(w, columns, [batch, groups, inner * k, p])]);
  return reshape(w, product, [batch, o, ...count]);
}

const conv: WriteRule<"conv"> = (w, node) => {
  if (!isFloat(input(node).type.dtype)) return integerConv(w, node);
  const { strides, dilations, low, high, groups } = node.attrs;
  const crops = [...low, ...high].some((p) => p < 0);
  const x = w.nameOf(input(node));
  const padded = crops
    ? w.emit("Pad", [x, w.weight(int64(...around(low), ...around(high)))]) : x;
  return w.emit("Conv", [padded, w.nameOf(input(node, 1))], {
    strides, dilations, group: groups, ...(crops ? {} : { pads: [...low, ...high] }),
  });
};

export const writeRules: { readonly [O in PrimName]: WriteRule<O> } = {
  ...unary, ...binary,
  where: (w, node) => w.emit("Where", node.inputs.map((v) => w.nameOf(v))),
  cast: (w, node) => cast(w, w.nameOf(input(node)), node.attrs.dtype),
  bitcast: (_, node) => refuse(node, "The bits of a number as another type"),
  constant: (w, node) => w.weight(node.attrs.tensor),
  size: (w, node) => {
    const dim = w.emit("Squeeze", [w.size(node.attrs.dim), w.weight(int64(0))]);
    return cast(w, dim, node.attrs.dtype);
  },
  iota,
  random: (_, node) => refuse(node, "The random generator"),
  normal: (_, node) => refuse(node, "The random generator"),
  reshape: (w, node) => reshape(w, w.nameOf(input(node)), node.attrs.shape),
  transpose: (w, node) =>
    w.emit("Transpose", [w.nameOf(input(node))], { perm: node.attrs.perm }),
  broadcast: (w, node) =>
    w.emit("Expand", [w.nameOf(input(node)), w.shape(node.attrs.shape)]),
  slice: sliceRule,
  flip,
  pad,
  concat: (w, node) =>
    w.emit("Concat", node.inputs.map((v) => w.nameOf(v)), { axis: node.attrs.axis }),
  window,
  unwindow,
  gather: (w, node) => {
    const { dtype } = input(node, 1).type;
    const indices = w.nameOf(input(node, 1));
    const wide = dtype === "int32" || dtype === "int64" ? indices : cast(w, indices, "int64");
    return w.emit("Gather", [w.nameOf(input(node)), wide], { axis: node.attrs.axis });
  },
  scatter: (w, node) => {
    const [data, indices, updates] = node.inputs.map((v) => w.nameOf(v)) as
      [string, string, string];
    const column = w.emit("Unsqueeze", [cast(w, indices, "int64"), w.weight(int64(1))]);
    const reduction = combinations[node.attrs.kind];
    return w.emit("ScatterND", [data, column, updates], { reduction });
  },
  argsort: (w, node) => {
    const last = shapeAt(node).length - 1;
    const largest = node.attrs.descending ? 1 : 0;
    const extent = w.size(shapeAt(node)[last] as Dim);
    return cast(w, w.emit("TopK:1", [w.nameOf(input(node)), extent],
      { axis: last, largest, sorted: 1 }), "int32");
  },
  reduce: (w, node) => w.emit(reductions[node.attrs.kind],
    [w.nameOf(input(node)), w.weight(int64(...node.attrs.axes))], { keepdims: 0 }),
  cumulate: (w, node) => (node.attrs.kind === "prod" ? runningProduct(w, node)
    : w.emit("CumSum", [w.nameOf(input(node)), w.weight(scalar("int64", node.attrs.axis))])),
  dot,
  conv,
};
