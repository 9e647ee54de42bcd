/**
 * Sums of products: `dot` (with batch and contracted axes) and `conv` (n-dimensional, grouped).
 * Both lower to the one contraction kernel, which the analog crossbar implements as well.
 */
import {
  dimsEqual, dimToString, divDimsExact, mulDims, productOf, type Dim,
} from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import type { Node, TensorType, Value } from "../graph/graph.ts";
import { isFloat, type DType } from "../graph/dtype.ts";
import { elementAt, newData, sizeOf, splat, type Tensor } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import { multiplyIntegers } from "../kernels/scalar.ts";
import { check, showShape, showType } from "./common.ts";
import { windowCount } from "./windows.ts";
import type { Primitive } from "./primitive.ts";

const shapeAt = (node: Node, i: number): readonly Dim[] => (node.inputs[i] as Value).type.shape;

/** Axis groups of a dot: a is [B, M, K], b is [B, K, N], each a list of axes. */
function dotAxes(node: Node<"dot">): Record<"batch" | "m" | "n" | "k", readonly Dim[]> {
  const { batch, contract } = node.attrs;
  const [a, b] = [shapeAt(node, 0), shapeAt(node, 1)];
  return {
    batch: a.slice(0, batch), m: a.slice(batch, a.length - contract),
    k: a.slice(a.length - contract), n: b.slice(batch + contract),
  };
}

/** Products whose sum, wrapped once at its end, is the integer sum of products. */
const productIn = (dtype: DType): ((a: number, b: number) => number) =>
  isFloat(dtype) ? (a, b) => a * b : multiplyIntegers;

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

export const dot: Primitive<"dot"> = {
  infer(types, { batch, contract }) {
    const [a, b] = types as [TensorType, TensorType];
    const kFrom = a.shape.length - contract;
    const fits = kFrom >= batch && b.shape.length >= batch + contract;
    check(batch >= 0 && contract >= 0 && fits, "dot",
      `operands with ${batch} batch and ${contract} contracted axes`,
      `${showType(a)}, ${showType(b)}`);
    const meets = range(0, batch).every((i) => dimsEqual(a.shape[i] as Dim, b.shape[i] as Dim)) &&
      range(0, contract).every((i) =>
        dimsEqual(a.shape[kFrom + i] as Dim, b.shape[batch + i] as Dim));
    const numeric = a.dtype === b.dtype && a.dtype !== "bool";
    check(meets && numeric, "dot", "batch and contracted axes that agree",
      `${showType(a)} with ${showType(b)}`);
    const shape = [...a.shape.slice(0, kFrom), ...b.shape.slice(batch + contract)];
    return { dtype: a.dtype, shape };
  },
  evaluate(tensors, { batch, contract }, mode) {
    const [a, b] = tensors as [Tensor, Tensor];
    const groups = sizeOf(a.shape.slice(0, batch));
    const kFrom = a.shape.length - contract;
    const m = sizeOf(a.shape.slice(batch, kFrom));
    const k = sizeOf(a.shape.slice(kFrom));
    const n = sizeOf(b.shape.slice(batch + contract));
    const shape = [...a.shape.slice(0, kFrom), ...b.shape.slice(batch + contract)];
    const data = newData(a.dtype, groups * m * n, mode);
    const multiply = productIn(a.dtype);
    for (let g = 0; g < groups; g++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let x = 0; x < k; x++) {
            sum += multiply(elementAt(a, (g * m + i) * k + x), elementAt(b, (g * k + x) * n + j));
          }
          data[(g * m + i) * n + j] = sum;
        }
      }
    }
    return { dtype: a.dtype, shape, data, splat: false };
  },
  gradient(b, node, d) {
    const [x, y] = node.inputs as [Value, Value];
    const { batch, contract } = node.attrs;
    const rankX = x.type.shape.length;
    const m = rankX - batch - contract;
    const n = y.type.shape.length - batch - contract;
    const lead = range(0, batch);
    // dX[B,M,K] = d[B,M,N] . Y^T[B,N,K]; dY[B,K,N] = X^T[B,K,M] . d[B,M,N]
    const yT = b.transpose(y, [...lead, ...range(batch + contract, batch + contract + n),
      ...range(batch, batch + contract)]);
    const xT = b.transpose(x, [...lead, ...range(batch + m, rankX), ...range(batch, batch + m)]);
    return [b.dot(d, yT, batch, n), b.dot(xT, d, batch, m)];
  },
  lower: {
    kind: "contract",
    plan: dotAxes,
    a: ({ read }, batch, m, k) => read(0, [...batch, ...m, ...k]),
    b: ({ read }, batch, k, n) => read(1, [...batch, ...k, ...n]),
    output: (_ctx, batch, m, n) => [...batch, ...m, ...n],
  },
  work(node) {
    const { batch, m, n, k } = dotAxes(node);
    return { macs: productOf([...batch, ...m, ...n, ...k]), ops: 0 };
  },
  isMovement: false,
};

function convAxes(node: Node<"conv">): Record<"batch" | "m" | "n" | "k", readonly Dim[]> {
  const { groups } = node.attrs;
  const [x, w] = [shapeAt(node, 0), shapeAt(node, 1)];
  const out = (node.outputs[0] as Value).type.shape;
  return {
    batch: [x[0] as Dim, groups],
    m: [divDimsExact(w[0] as Dim, groups) as Dim],
    n: out.slice(2),
    k: w.slice(1),
  };
}

/** Gradient with respect to the input: a stride-1 convolution of the spread-out cotangent. */
function convInputGradient(b: Builder, node: Node<"conv">, d: Value): Value {
  const [x, w] = node.inputs as [Value, Value];
  const { strides, dilations, low, groups } = node.attrs;
  const spatial = w.type.shape.length - 2;
  const taps = w.type.shape.slice(2) as number[];
  const extents = x.type.shape.slice(2) as number[];
  const outs = d.type.shape.slice(2) as number[];
  const zeros = [0, 0];
  // Position p of x meets output y at tap t when p + low = y*stride + t*dilation.
  const before = taps.map((k, i) => (dilations[i] as number) * (k - 1) - (low[i] as number));
  const after = extents.map((size, i) => {
    const spread = ((outs[i] as number) - 1) * (strides[i] as number) + 1;
    return size - spread + (low[i] as number);
  });
  const spreadOut = b.pad(d, [...zeros, ...before], [...zeros, ...after], 0,
    [...zeros, ...strides.map((s) => s - 1)]);
  // w [G*O, C, taps] -> [G*C, O, flipped taps]
  const perGroup = divDimsExact(w.type.shape[0] as Dim, groups) as Dim;
  const channels = w.type.shape[1] as Dim;
  const grouped = b.reshape(w, [groups, perGroup, channels, ...taps]);
  const swapped = b.transpose(grouped, [0, 2, 1, ...range(3, 3 + spatial)]);
  const kernel = b.flip(b.reshape(swapped, [mulDims(groups, channels), perGroup, ...taps]),
    range(2, 2 + spatial));
  return b.add("conv", [spreadOut, kernel], {
    strides: taps.map(() => 1), dilations, low: taps.map(() => 0), high: taps.map(() => 0), groups,
  });
}

/** Gradient with respect to the weights: windows of x against the cotangent. */
function convWeightGradient(b: Builder, node: Node<"conv">, d: Value): Value {
  const [x, w] = node.inputs as [Value, Value];
  const { strides, dilations, low, high, groups } = node.attrs;
  const spatial = w.type.shape.length - 2;
  const taps = w.type.shape.slice(2) as number[];
  const padded = b.pad(x, [0, 0, ...low], [0, 0, ...high], 0);
  const windows = b.add("window", [padded], { sizes: taps, strides, dilations });
  const outs = d.type.shape.slice(2);
  // A stride that leaves a remainder gives `window` no more positions than the output has.
  const [batch, channels] = [x.type.shape[0] as Dim, w.type.shape[1] as Dim];
  const perGroup = divDimsExact(w.type.shape[0] as Dim, groups) as Dim;
  // d [N, G, O, E..] -> [G, O, N, E..];  windows [N, G, C, E.., taps] -> [G, N, E.., C, taps]
  const dGrouped = b.transpose(b.reshape(d, [batch, groups, perGroup, ...outs]),
    [1, 2, 0, ...range(3, 3 + spatial)]);
  const wGrouped = b.transpose(
    b.reshape(windows, [batch, groups, channels, ...outs, ...taps]),
    [1, 0, ...range(3, 3 + spatial), 2, ...range(3 + spatial, 3 + 2 * spatial)]);
  const product = b.dot(dGrouped, wGrouped, 1, 1 + spatial);
  return b.reshape(product, w.type.shape);
}

export const conv: Primitive<"conv"> = {
  infer(types, { strides, dilations, low, high, groups }) {
    const [x, w] = types as [TensorType, TensorType];
    const spatial = strides.length;
    const ranks = x.shape.length === spatial + 2 && w.shape.length === spatial + 2 &&
      [dilations, low, high].every((a) => a.length === spatial);
    const numeric = x.dtype === w.dtype && x.dtype !== "bool";
    check(ranks && numeric, "conv", `operands with ${spatial} spatial axes`,
      `${showType(x)}, ${showType(w)}`);
    check([groups, ...strides, ...dilations].every((n) => n >= 1), "conv",
      "groups, strides and dilations of 1 or more", `${groups}, [${strides}], [${dilations}]`);
    const channels = mulDims(w.shape[1] as Dim, groups);
    check(dimsEqual(channels, x.shape[1] as Dim), "conv",
      `${dimToString(channels)} input channels (groups ${groups})`, showShape(x.shape));
    check(divDimsExact(w.shape[0] as Dim, groups) !== undefined, "conv",
      `output channels divided by groups ${groups}`, dimToString(w.shape[0] as Dim));
    const outs = strides.map((stride, i) => {
      const d = x.shape[2 + i] as Dim;
      const size = typeof d === "number" ? d + (low[i] as number) + (high[i] as number) : undefined;
      const count = size === undefined ? undefined
        : windowCount(size, w.shape[2 + i] as number, stride, dilations[i] as number);
      check(count !== undefined, "conv", "spatial sizes that are numbers", dimToString(d));
      return count as Dim;
    });
    return { dtype: x.dtype, shape: [x.shape[0] as Dim, w.shape[0] as Dim, ...outs] };
  },
  evaluate(tensors, attrs, mode) {
    const [x, w] = tensors as [Tensor, Tensor];
    const { strides, dilations, low, groups } = attrs;
    const shape = conv.infer([x, w], attrs).shape as number[];
    if (x.splat && x.data[0] === 0) return splat(x.dtype, shape, 0);
    const data = newData(x.dtype, sizeOf(shape), mode);
    const multiply = productIn(x.dtype);
    const [, O, ...outs] = shape as [number, number, ...number[]];
    const C = w.shape[1] as number;
    const taps = w.shape.slice(2);
    const inner = x.shape.slice(2);
    const perGroup = O / groups;
    const tapCount = sizeOf(taps);
    const outCount = sizeOf(outs);
    for (let flat = 0; flat < data.length; flat++) {
      const position = flat % outCount;
      const o = Math.floor(flat / outCount) % O;
      const n = Math.floor(flat / (outCount * O));
      const base = Math.floor(o / perGroup) * C;
      let sum = 0;
      for (let t = 0; t < tapCount; t++) {
        const at = tapPosition(position, t, outs, taps, inner, strides, dilations, low);
        if (at < 0) continue;
        for (let c = 0; c < C; c++) {
          const channel = n * (x.shape[1] as number) + base + c;
          sum += multiply(elementAt(x, channel * sizeOf(inner) + at),
            elementAt(w, (o * C + c) * tapCount + t));
        }
      }
      data[flat] = sum;
    }
    return { dtype: x.dtype, shape, data, splat: false };
  },
  gradient: (b, node, d) => [convInputGradient(b, node, d), convWeightGradient(b, node, d)],
  lower: {
    kind: "contract",
    plan: convAxes,
    // a is the kernel [O, C*taps], b the windows [C*taps, positions]: outputs stay contiguous.
    a({ pool, node, read }, [, group], [m], k) {
      const { m: size } = convAxes(node);
      const row = pool.add(pool.mul(group as Expr, pool.size(size[0] as Dim)), m as Expr);
      return read(1, [row, ...k]);
    },
    b({ pool, node, read }, [n, group], [c, ...taps], position) {
      const { strides, dilations, low, high } = node.attrs;
      const channels = shapeAt(node, 1)[1] as Dim;
      const channel = pool.add(pool.mul(group as Expr, pool.size(channels)), c as Expr);
      const extents = shapeAt(node, 0).slice(2);
      let inside = pool.const(1, "bool");
      const at = taps.map((tap, i) => {
        const unpadded = pool.add(
          pool.mul(position[i] as Expr, pool.const(strides[i] as number)),
          pool.mul(tap, pool.const(dilations[i] as number)));
        const p = pool.sub(unpadded, pool.const(low[i] as number));
        if (low[i] !== 0) inside = pool.and(inside, pool.not(pool.lt(p, pool.const(0))));
        if (high[i] !== 0) inside = pool.and(inside, pool.lt(p, pool.size(extents[i] as Dim)));
        return p;
      });
      const value = read(0, [n as Expr, channel, ...at]);
      return pool.guard(inside, value, pool.const(0, value.type));
    },
    output({ pool, node }, [n, group], [m], position) {
      const { m: size } = convAxes(node);
      const o = pool.add(pool.mul(group as Expr, pool.size(size[0] as Dim)), m as Expr);
      return [n as Expr, o, ...position];
    },
  },
  work(node) {
    const { batch, m, n, k } = convAxes(node);
    return { macs: productOf([...batch, ...m, ...n, ...k]), ops: 0 };
  },
  isMovement: false,
};

/** Flat spatial input position that an output position meets at a tap; -1 in the padding. */
function tapPosition(
  position: number, tap: number, outs: readonly number[], taps: readonly number[],
  extents: readonly number[], strides: readonly number[], dilations: readonly number[],
  low: readonly number[],
): number {
  let flat = 0;
  let scale = 1;
  for (let i = outs.length - 1; i >= 0; i--) {
    const [out, kernel, extent] = [outs[i] as number, taps[i] as number, extents[i] as number];
    const at = (position % out) * (strides[i] as number) +
      (tap % kernel) * (dilations[i] as number) - (low[i] as number);
    if (at < 0 || at >= extent) return -1;
    flat += at * scale;
    scale *= extent;
    position = Math.floor(position / out);
    tap = Math.floor(tap / kernel);
  }
  return flat;
}

