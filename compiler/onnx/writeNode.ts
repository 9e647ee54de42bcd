/**
 * Writes one node by its rule, in an element type that runtimes have a kernel for. Where they lack
 * one, the operands are cast to a wider type and the result back: sums, products and bit patterns
 * of integers come back the same, because casts wrap, and float64 is computed in float32 here
 * anyway. What the tables list is not what ONNX allows (that is wider) but where ONNX Runtime has
 * no CPU kernel.
 */
import type { DType } from "../graph/dtype.ts";
import type { Node, PrimName, Value } from "../graph/graph.ts";
import { cast, writeRules, type NodeWriter, type WriteRule } from "./writeRules.ts";

type Carriers = Partial<Record<DType, DType>>;

const narrow: Carriers = { int8: "int32", int16: "int32", uint8: "int32", uint16: "int32" };
const unsigned: Carriers = { uint32: "int64", uint64: "int64" };
const sixteen: Carriers = { int16: "int32", uint16: "int32" };
const double: Carriers = { float64: "float32" };

const byPrimitive: Partial<Record<PrimName, Carriers>> = {
  erf: double, tan: double, asin: double, acos: double, atan: double, sinh: double, cosh: double,
  asinh: double, acosh: double, atanh: double,
  max: sixteen, min: sixteen, pad: sixteen,
  pow: { ...narrow, ...unsigned },
  shl: { uint16: "uint32" }, shr: { uint16: "uint32" },
  where: { ...sixteen, ...unsigned, int8: "int32", bool: "uint8" },
  argsort: { uint16: "int32", ...unsigned },
  cumulate: { ...narrow, ...unsigned },
  dot: narrow,
  conv: { ...narrow, ...double },
};

function carriersOf(node: Node): Carriers | undefined {
  if (node.op !== "reduce") return byPrimitive[node.op];
  const { kind } = (node as Node<"reduce">).attrs;
  return { ...(kind === "max" || kind === "min" ? sixteen : narrow), ...unsigned };
}

/** No runtime computes with bfloat16 on a CPU; these only move or convert it. */
const anyType = new Set<PrimName>(["constant", "cast", "bitcast", "size", "iota", "random"]);

/** The type to compute a node in; undefined where it is the node's own. */
function carrierOf(node: Node): DType | undefined {
  const dtype = dataTypeOf(node);
  if (dtype === undefined || anyType.has(node.op)) return undefined;
  return dtype === "bfloat16" ? "float32" : carriersOf(node)?.[dtype];
}

/** The type of what is computed with, which is no condition and no index. */
const dataTypeOf = (node: Node): DType | undefined => {
  const last: Value | undefined = node.op === "gather" ? node.inputs[0] : node.inputs.at(-1);
  return last?.type.dtype;
};

/** Writes a node, in a wider type where runtimes have no kernel for its own. */
export function writeNode<O extends PrimName>(w: NodeWriter, node: Node<O>): string {
  const rule = writeRules[node.op] as WriteRule<O>;
  const [from, carrier] = [dataTypeOf(node), carrierOf(node)];
  if (carrier === undefined) return rule(w, node);
  const held = new Map<Value, string>();
  const widen = (v: Value, i: number): Value => {
    const isCondition = node.op === "where" && i === 0;
    if (v.type.dtype !== from || isCondition) return v;
    const wide = { ...v, type: { ...v.type, dtype: carrier } };
    held.set(wide, cast(w, w.nameOf(v), carrier));
    return wide;
  };
  const wider: NodeWriter = {
    emit: (...args) => w.emit(...args), weight: (t) => w.weight(t), size: (d) => w.size(d),
    shape: (dims) => w.shape(dims), nameOf: (v) => held.get(v) ?? w.nameOf(v),
  };
  const result = rule(wider, { ...node, inputs: node.inputs.map(widen) });
  return from !== undefined && node.outputs[0]?.type.dtype === from
    ? cast(w, result, from) : result;
}
