/**
 * Values of expressions without variables. WGSL evaluates those when it compiles, and refuses to if
 * one overflows or divides by zero; printed as one literal they are ordinary values.
 */
import { operandsOf, type Expr, type ScalarType } from "../../kernels/expr.ts";
import { binaryFloat, binaryInteger, unaryFloat, unaryInteger } from "../../kernels/scalar.ts";

/** Values of those of `nodes` (operands first) that are constant. */
export function constantsAmong(nodes: readonly Expr[]): Map<Expr, number> {
  const known = new Map<Expr, number>();
  for (const e of nodes) {
    const operands = operandsOf(e).map((o) => known.get(o));
    if (e.kind === "const") known.set(e, e.value);
    else if (operands.length > 0 && operands.every((x) => x !== undefined)) {
      const value = valueOf(e, operands as number[]);
      if (value !== undefined) known.set(e, wrap(value, e.type));
    }
  }
  return known;
}

const wrap = (x: number, type: ScalarType): number =>
  type === "u32" ? x >>> 0 : type === "i32" ? x | 0 : type === "f32" ? Math.fround(x) : x ? 1 : 0;

function valueOf(e: Expr, [a, b, c]: readonly number[]): number | undefined {
  switch (e.kind) {
    case "unary":
      return (e.a.type === "f32" ? unaryFloat : unaryInteger)[e.op]?.(a as number);
    case "binary":
      return (e.a.type === "f32" ? binaryFloat : binaryInteger)[e.op]?.(a as number, b as number);
    case "select": case "guard": return a ? b : c;
    case "cast": return e.a.type === "f32" ? fromFloat(a as number, e.type) : a;
    case "bitcast": return reinterpret(a as number, e.a.type, e.type);
    default: return undefined;
  }
}

/** Truncates and saturates, NaN gives 0; to bool is `!= 0`. */
function fromFloat(x: number, to: ScalarType): number {
  if (to === "f32") return x;
  if (to === "bool") return x !== 0 ? 1 : 0;
  const [low, high] = to === "i32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  return Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), low as number), high as number);
}

function reinterpret(x: number, from: ScalarType, to: ScalarType): number {
  const view = new DataView(new ArrayBuffer(4));
  if (from === "f32") view.setFloat32(0, x);
  else view.setUint32(0, x);
  return to === "f32" ? view.getFloat32(0) : view.getUint32(0);
}
