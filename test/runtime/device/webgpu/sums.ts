/**
 * What rounding allows a kernel's results to be off. A sum of K rounded products is off by at most
 * about K roundings of the sum of magnitudes, and by the square root of that when they fall
 * independently; tests allow 2 sqrt(K) + 4 of them.
 */
import { evalDim, productOf, type Bindings } from "../../../../compiler/graph/dim.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type { Axis, Kernel, KernelBody } from "../../../../compiler/kernels/kernel.ts";
import type { KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import { interpreted } from "./onDevice.ts";

/** Half the distance of 1 and the next f32. */
export const unit = 2 ** -24;

export const bindingsOf = ({ kernel, sizes }: KernelCase): Bindings =>
  Object.fromEntries(kernel.symbols.map((symbol, i) => [symbol, sizes[i] as number]));

const anything = { min: -Infinity, max: Infinity } as const;
/** |e|, numbered behind every node of the kernel, whose pool is not at hand. */
const magnitude = (e: Expr, id: number): Expr =>
  ({ kind: "unary", op: "abs", a: e, type: e.type, id: 1e9 + id, ...anything });

/** The body with magnitudes for values and nothing after the sum; undefined for other kinds. */
function magnitudeBody(body: KernelBody): { body: KernelBody; k: readonly Axis[] } | undefined {
  if (body.kind !== "contract" && body.kind !== "reduce") return undefined;
  const value: Expr = { kind: "acc", type: "f32", id: -1, ...anything };
  const store = { ...body.store, value };
  if (body.kind === "contract") {
    const [a, b] = [magnitude(body.a, 0), magnitude(body.b, 1)];
    return { body: { ...body, a, b, store }, k: body.k };
  }
  return { body: { ...body, value: magnitude(body.value, 0), store }, k: body.reduceAxes };
}

/** Allowed error per element of a sum, before its epilogue; undefined for kernels without a sum. */
export function allowedError(one: KernelCase): Float64Array | undefined {
  const { kernel } = one;
  const magnitudes = magnitudeBody(kernel.body);
  if (!magnitudes) return undefined;
  const bare: Kernel = { ...kernel, body: magnitudes.body };
  const sums = Float64Array.from(interpreted({ ...one, kernel: bare }, "f64"));
  const length = evalDim(productOf(magnitudes.k.map(({ extent }) => extent)), bindingsOf(one));
  return sums.map((sum) => unit * (2 * Math.sqrt(length) + 4) * sum);
}
