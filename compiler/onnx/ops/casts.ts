/** Changes of element type: Cast, CastLike, BitCast. */
import { dtypeFacts, type DType } from "../../graph/dtype.ts";
import type { Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import type { Family } from "../operator.ts";

/**
 * Rounds float32 to the nearest bfloat16, ties to even: add half of the dropped half of the bits,
 * and one more where the kept half is odd, then drop. NaN stays as it is.
 */
function roundToBfloat16(b: Builder, x: Value): Value {
  const word = (value: number): Value => b.full(x, value, "uint32");
  const bits = b.add("bitcast", [x], { dtype: "uint32" });
  const odd = b.binary("and", b.binary("shr", bits, word(16)), word(1));
  const rounded = b.addition(b.addition(bits, odd), word(0x7fff));
  const kept = b.binary("and", rounded, word(0xffff0000));
  const back = b.add("bitcast", [kept], { dtype: "float32" });
  return b.where(b.unary("isnan", x), x, back);
}

function castTo(c: RuleContext, x: Value, dtype: DType): Value {
  const { b } = c;
  if (dtype !== "bfloat16" || x.type.dtype === "bfloat16") return b.cast(x, dtype);
  return b.cast(roundToBfloat16(b, b.cast(x, "float32")), dtype);
}

const twin: Partial<Record<DType, DType>> = {
  int8: "uint8", uint8: "int8", int16: "uint16", uint16: "int16", int32: "uint32", uint32: "int32",
};

/** The same bits under another type of the same width. */
function reinterpret(c: RuleContext, x: Value, to: DType): Value {
  const { b } = c;
  const from = x.type.dtype;
  if (from === to) return x;
  if (dtypeFacts[from].bits !== dtypeFacts[to].bits) {
    return c.unsupported(`BitCast from ${from} to ${to}, of another width, is not supported`);
  }
  if (dtypeFacts[from].bits === 32) return b.add("bitcast", [x], { dtype: to });
  if (twin[from] === to) return b.cast(x, to);
  if (from === "bool" && to === "uint8") return b.cast(x, to);
  if (from === "bool" && to === "int8") return b.cast(x, to);
  return c.unsupported(`BitCast from ${from} to ${to} is not supported`);
}

export const casts: Family = [
  { name: "Cast", since: { 6: (c) => castTo(c, c.input(0), c.dtype("to")) } },
  { name: "CastLike", since: { 15: (c) => castTo(c, c.input(0), c.input(1).type.dtype) } },
  { name: "BitCast", since: { 26: (c) => reinterpret(c, c.input(0), c.dtype("to")) } },
];
