/** Small kernels written by hand, one or two of each kind, for tests that look at emitted text. */
import { productOf, symbol, symbolsOf, type Dim } from "../../../../compiler/graph/dim.ts";
import type { Storage } from "../../../../compiler/graph/dtype.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type {
  Axis, BufferArgument, Kernel, KernelBody,
} from "../../../../compiler/kernels/kernel.ts";
import { ExprPool, flatten } from "../../../../compiler/kernels/pool.ts";

export const pool = new ExprPool();
const f = (value: number): Expr => pool.const(value, "f32");
const i = (value: number): Expr => pool.const(value);

type Shapes = Readonly<Record<string, readonly Dim[]>>;
type Named<T> = { readonly [name: string]: T };

/** Index expressions of named extents, numbered in order. */
function nest(extents: Named<Dim>): { axes: Axis[]; at: Named<Expr> } {
  const axes = Object.entries(extents).map(([name, extent]) => ({ name, extent }));
  const at = Object.fromEntries(axes.map(({ name, extent }, n) => [name, pool.axis(n, extent)]));
  return { axes, at };
}

/** A kernel over tensors given by name and shape; the last is written. */
function kernel(
  name: string, origin: readonly string[], tensors: Shapes, body: KernelBody,
  storages: Named<Storage> = {},
): Kernel {
  const names = Object.keys(tensors);
  const argument = (tensor: string, index: number): BufferArgument => ({
    name: tensor, storage: storages[tensor] ?? "f32",
    access: index === names.length - 1 ? "write" : "read",
    size: productOf(tensors[tensor] as readonly Dim[]),
  });
  const symbols = [...new Set(Object.values(tensors).flat().flatMap(symbolsOf))].sort();
  return { name, origin, symbols, arguments: names.map(argument), body };
}

export function relu(size: Dim): Kernel {
  const { axes, at } = nest({ i: size });
  const index = at.i as Expr;
  const value = pool.binary("max", pool.load(0, index, "f32"), f(0));
  return kernel("relu", ["/layer1/Relu"], { x: [size], y: [size] },
    { kind: "map", axes, store: { buffer: 1, index, value } });
}

/** gelu(x + bias) padded by one element of -1 on each side of an image: fused, with a branch. */
export function paddedGelu(): Kernel {
  const { axes, at } = nest({ channel: 3, row: 10, column: 10 });
  const { channel, row, column } = at as Record<"channel" | "row" | "column", Expr>;
  const [y, x] = [pool.sub(row, i(1)), pool.sub(column, i(1))];
  const inside = pool.and(pool.within(y, i(0), i(8)), pool.within(x, i(0), i(8)));
  const z = pool.binary("add",
    pool.load(0, flatten(pool, [channel, y, x], [3, 8, 8]), "f32"),
    pool.load(1, channel, "f32"));
  const half = pool.binary("mul", z, f(0.5));
  const error = pool.unary("erf", pool.binary("mul", z, f(Math.fround(Math.SQRT1_2))));
  const gelu = pool.binary("mul", half, pool.binary("add", f(1), error));
  const store = {
    buffer: 2, index: flatten(pool, [channel, row, column], [3, 10, 10]),
    value: pool.guard(inside, gelu, f(-1)),
  };
  return kernel("pad_gelu", ["/mlp/Add", "/mlp/Gelu", "/mlp/Pad"],
    { "/mlp/x": [3, 8, 8], "mlp.bias": [3], "/mlp/Pad_output_0": [3, 10, 10] },
    { kind: "map", axes, store });
}

export function maxPool(): Kernel {
  const { axes, at } = nest({ n: symbol("N"), row: 7, column: 7, y: 2, x: 2 });
  const { n, row, column, y, x } = at as Record<"n" | "row" | "column" | "y" | "x", Expr>;
  const [before, after] = [[symbol("N"), 14, 14], [symbol("N"), 7, 7]];
  const double = (e: Expr): Expr => pool.mul(e, i(2));
  const from = flatten(pool, [n, pool.add(double(row), y), pool.add(double(column), x)], before);
  return kernel("pool", ["/pool/MaxPool"],
    { "/relu/Relu_output_0": before, "/pool/MaxPool_output_0": after }, {
      kind: "reduce", axes: axes.slice(0, 3), reduceAxes: axes.slice(3), op: "max",
      value: pool.load(0, from, "f32"),
      store: {
        buffer: 1, index: flatten(pool, [n, row, column], after), value: pool.acc("f32"),
      },
    });
}

/** Mean of long rows. */
export function rowMean(): Kernel {
  const { axes, at } = nest({ row: 12, k: 768 });
  const { row, k } = at as Record<"row" | "k", Expr>;
  return kernel("mean", ["/norm/ReduceMean"], { x: [12, 768], mean: [12] }, {
    kind: "reduce", axes: axes.slice(0, 1), reduceAxes: axes.slice(1), op: "sum",
    value: pool.load(0, flatten(pool, [row, k], [12, 768]), "f32"),
    store: {
      buffer: 1, index: row, value: pool.binary("mul", pool.acc("f32"), f(Math.fround(1 / 768))),
    },
  });
}

/** y = relu(conv(x) + bias), 3 x 3, padded by one, images of 16 x 16. */
export function convolution(images: Dim, channels = 8, filters = 32): Kernel {
  const side = 16;
  const depth = channels * 9;
  const { axes, at } = nest({ image: images, filter: filters, pixel: side * side, tap: depth });
  const { image, filter, pixel, tap } = at as Record<"image" | "filter" | "pixel" | "tap", Expr>;
  const y = pool.sub(pool.add(pool.div(pixel, i(side)), pool.rem(pool.div(tap, i(3)), i(3))), i(1));
  const x = pool.sub(pool.add(pool.rem(pixel, i(side)), pool.rem(tap, i(3))), i(1));
  const inside = pool.and(pool.within(y, i(0), i(side)), pool.within(x, i(0), i(side)));
  const channel = pool.div(tap, i(9));
  const shape = [images, channels, side, side];
  const sum = pool.binary("add", pool.acc("f32"), pool.load(2, filter, "f32"));
  const [batch, m, n, k] = axes as [Axis, Axis, Axis, Axis];
  return kernel("conv1", ["/conv1/Conv", "/relu1/Relu"], {
    "conv1.weight": [filters, depth], "/input": shape, "conv1.bias": [filters],
    "/relu1/Relu_output_0": [images, filters, side, side],
  }, {
    kind: "contract", batch: [batch], m: [m], n: [n], k: [k],
    a: pool.load(0, flatten(pool, [filter, tap], [filters, depth]), "f32"),
    b: pool.guard(inside,
      pool.load(1, flatten(pool, [image, channel, y, x], shape), "f32"), f(0)),
    store: {
      buffer: 3, index: flatten(pool, [image, filter, pixel], [images, filters, side * side]),
      value: pool.binary("max", sum, f(0)),
    },
  });
}

/** [M, K] times [K, N], or [N, K] transposed. */
export function product(M: Dim, N: Dim, K: Dim, transposed = false): Kernel {
  const { axes, at } = nest({ m: M, n: N, k: K });
  const { m, n, k } = at as Record<"m" | "n" | "k", Expr>;
  const right = transposed ? flatten(pool, [n, k], [N, K]) : flatten(pool, [k, n], [K, N]);
  return kernel("product", ["/fc/MatMul"], { x: [M, K], w: [K, N], y: [M, N] }, {
    kind: "contract", batch: [], m: axes.slice(0, 1), n: axes.slice(1, 2), k: axes.slice(2),
    a: pool.load(0, flatten(pool, [m, k], [M, K]), "f32"), b: pool.load(1, right, "f32"),
    store: { buffer: 2, index: flatten(pool, [m, n], [M, N]), value: pool.acc("f32") },
  });
}

export function cumulativeSum(): Kernel {
  const { axes, at } = nest({ row: 6, t: 40 });
  const index = flatten(pool, [at.row as Expr, at.t as Expr], [6, 40]);
  return kernel("cumsum", ["/CumSum"], { x: [6, 40], y: [6, 40] }, {
    kind: "cumulate", axes, op: "sum", value: pool.load(0, index, "f32"),
    store: { buffer: 1, index, value: pool.acc("f32") },
  });
}

/** The gradient of an embedding: rows of `d` added up where the tokens say. */
export function scatterAdd(rows: number, columns: number, updates: number): Kernel {
  const { axes, at } = nest({ row: rows, column: columns, token: updates });
  const [row, column, token] = axes as [Axis, Axis, Axis];
  return kernel("scatter", ["/embed/Gather"],
    { tokens: [updates], d: [updates, columns], y: [rows, columns] }, {
      kind: "scatter", rows: row, columns: column, updates: token, op: "add", initial: f(0),
      target: pool.load(0, at.token as Expr, "i32"),
      update: pool.load(1, flatten(pool, [at.token as Expr, at.column as Expr],
        [updates, columns]), "f32"),
      output: 2,
    }, { tokens: "i32" });
}

export function sortRows(rows: number, length: number): Kernel {
  const { axes, at } = nest({ row: rows, position: length });
  const value = pool.load(0, flatten(pool, Object.values(at), [rows, length]), "f32");
  const [row, sorted] = axes as [Axis, Axis];
  return kernel("top", ["/TopK"], { scores: [rows, length], order: [rows, length] }, {
    kind: "sort", axes: [row], sorted, descending: true, value, output: 1,
  }, { order: "i32" });
}
