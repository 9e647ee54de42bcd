/**
 * The attention operators of ONNX Runtime (domain com.microsoft), which its optimisers and the
 * exporters of language models write: heads packed in the last axis, a mask by value, past keys
 * and values carried along, positions turned on the way.
 *
 * Where it comes from: the contrib operators' documentation of ONNX Runtime (ContribOperators.md).
 */
import { addDims, divDimsExact, type Dim } from "../../graph/dim.ts";
import { rankOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  dimAt, matmul, pick, splitAt, swapLastTwo, unsqueeze,
} from "../lowering.ts";
import type { Family, Operator, Rule } from "../operator.ts";
import { attendTo, biasOf, joinHeads, repeatHeads, splitHeads, turn } from "./attention.ts";

/** softmax(scale q k' + biases) v over heads [B, H, S, D], as [B, S, H*D]. */
function attend(
  c: RuleContext, [query, key, value]: readonly [Value, Value, Value],
  biases: readonly (Value | undefined)[],
): Value {
  const { b } = c;
  const size = c.concrete(dimAt(query, 3), "The size of a head");
  const scale = c.float("scale", 0) || 1 / Math.sqrt(size);
  const raw = matmul(b, query, swapLastTwo(b, key));
  const scores = b.mul(raw, b.full(raw, scale));
  const given = biases.filter((bias) => bias !== undefined);
  const total = given.length === 0 ? undefined : given.reduce((x, y) => b.addition(x, y));
  return joinHeads(b, matmul(b, attendTo(b, scores, total), value));
}

/** Query i sees keys up to i + past. */
function causal(b: Builder, query: Value, key: Value, past: Dim): Value {
  const grid = [dimAt(query, 2), dimAt(key, 2)];
  const row = b.addition(b.iota(grid, 0, "int32"), b.size(past, "int32"));
  return biasOf(b, b.binary("le", b.iota(grid, 1, "int32"), row), query.type.dtype);
}

/** 0 where the mask is set, the filter value elsewhere; [B] counts keys, [B, K] shows each. */
function paddingBias(c: RuleContext, mask: Value, key: Value): Value {
  const { b } = c;
  const { dtype } = key.type;
  const filter = c.float("mask_filter_value", -10000);
  const keys = dimAt(key, 2);
  const rank = rankOf(mask);
  const rows = rank === 1 ? b.reshape(mask, [dimAt(key, 0), 1, 1, 1])
    : rank === 2 ? unsqueeze(b, mask, [1, 2]) : rank === 3 ? unsqueeze(b, mask, [1]) : mask;
  const wide = b.cast(rows, "int32");
  const shown = rank === 1 ? b.binary("lt", b.iota([1, 1, 1, keys], 3, "int32"), wide)
    : b.not(b.binary("eq", wide, b.full(wide, 0)));
  return b.where(shown, b.full(shown, 0, dtype), b.full(shown, filter, dtype));
}

const appended = (b: Builder, past: Value | undefined, now: Value): Value =>
  (past ? b.concat([past, now], 2) : now);

/** One product gives queries, keys and values. */
const attention: Rule = (c) => {
  const { b } = c;
  const [x, weights, bias] = [c.ranked(0, 3), c.ranked(1, 2), c.optional(2)];
  const heads = c.int("num_heads");
  const third = (): Dim => c.divided(
    dimAt(weights, 1), 3, "The weights do not split into queries, keys and values");
  const sizes: readonly Dim[] = c.has("qkv_hidden_sizes") ? c.ints("qkv_hidden_sizes")
    : [third(), third(), third()];
  if (c.flag("do_rotary")) return c.unsupported("Attention with do_rotary is not supported");
  const product = b.dot(x, weights, 0, 1);
  const [query, key, value] = splitAt(b, bias ? b.addition(product, bias) : product, 2, sizes)
    .map((v) => splitHeads(c, v, heads)) as [Value, Value, Value];
  const past = c.optional(4);
  const [allKeys, allValues] = [key, value].map((now, i) =>
    appended(b, past && pick(b, past, 0, i), now)) as [Value, Value];
  const mask = c.optional(3);
  const y = attend(c, [query, allKeys, allValues], [
    mask && paddingBias(c, mask, allKeys), c.optional(5),
    c.flag("unidirectional")
      ? causal(b, query, allKeys, past ? dimAt(past, 3) : 0) : undefined,
  ]);
  if (!c.wants(1)) return [y];
  return [y, b.concat([allKeys, allValues].map((v) => unsqueeze(b, v, [0])), 0)];
};

const multiHeadAttention: Rule = (c) => {
  const { b } = c;
  const heads = c.int("num_heads");
  const x = c.ranked(0, 3, 5);
  const [given, bias] = [[c.optional(1), c.optional(2)], c.optional(3)];
  // Packed as [B, S, H, 3, D], or keys and values as [B, K, H, 2, D].
  const part = (v: Value, i: number): Value => b.transpose(pick(b, v, 3, i), [0, 2, 1, 3]);
  const [first, second] = given;
  const [q, k, v] = rankOf(x) === 5 ? [0, 1, 2].map((i) => part(x, i))
    : first && rankOf(first) === 5 ? [x, part(first, 0), part(first, 1)]
    : [x, first ?? c.input(1), second ?? c.input(2)];
  let at: Dim = 0;
  const [query, key, value] = [q, k, v].map((operand) => {
    const v3 = operand as Value;
    if (rankOf(v3) === 4) return v3;
    const start = at;
    at = addDims(at, dimAt(v3, 2));
    return splitHeads(c, bias ? b.addition(v3, b.sliceAxis(bias, 0, start, at)) : v3, heads);
  }) as [Value, Value, Value];
  const [pastKey, pastValue] = [c.optional(6), c.optional(7)];
  const [allKeys, allValues] = [appended(b, pastKey, key), appended(b, pastValue, value)];
  const mask = c.optional(4);
  const y = attend(c, [query, allKeys, allValues], [
    mask && paddingBias(c, mask, allKeys), c.optional(5),
    c.flag("unidirectional")
      ? causal(b, query, allKeys, pastKey ? dimAt(pastKey, 2) : 0) : undefined,
  ]);
  return [y, allKeys, allValues];
};

/** Fewer heads of keys and values than of queries; each sequence has its own length. */
const groupQueryAttention: Rule = (c) => {
  const { b } = c;
  const [heads, groups] = [c.int("num_heads"), c.int("kv_num_heads")];
  if (c.int("local_window_size", -1) !== -1 || c.flag("smooth_softmax") ||
    c.float("softcap", 0) !== 0) {
    return c.unsupported("GroupQueryAttention with a window, soft cap or smooth softmax");
  }
  const x = c.ranked(0, 3);
  const [key3, value3] = [c.optional(1), c.optional(2)];
  const size = divDimsExact(dimAt(x, 2), key3 ? heads : heads + 2 * groups) ??
    c.fail("The width does not split into the heads");
  const widths = [heads, groups, groups].map((n) => n * c.concrete(size, "The size of a head"));
  const parts = key3 && value3 ? [x, key3, value3] : splitAt(b, x, 2, widths);
  const [query, key, value] = parts.map((v, i) =>
    splitHeads(c, v, i === 0 ? heads : groups)) as [Value, Value, Value];
  const [pastKey, pastValue] = [c.optional(3), c.optional(4)];
  const past: Dim = pastKey ? dimAt(pastKey, 2) : 0;
  const turned = (v: Value): Value => {
    if (!c.flag("do_rotary")) return v;
    const [batch, steps] = [dimAt(v, 0), dimAt(v, 2)];
    const rows = b.addition(b.iota([batch, steps], 1, "int32"), b.size(past, "int32"));
    const part = 2 * c.concrete(dimAt(c.input(7), 1), "The width of the cache");
    return turn(c, v, c.input(7), c.input(8), rows, c.flag("rotary_interleaved"), part);
  };
  const [allKeys, allValues] = [
    appended(b, pastKey, turned(key)), appended(b, pastValue, value)];
  const shared = heads / groups;
  // Keys behind the last one of their sequence are padding.
  const last = b.reshape(b.cast(c.input(5), "int32"), [dimAt(x, 0), 1, 1, 1]);
  const real = b.binary("le", b.iota([1, 1, 1, dimAt(allKeys, 2)], 3, "int32"), last);
  const repeated = [allKeys, allValues].map((v) => repeatHeads(b, v, shared)) as [Value, Value];
  const y = attend(c, [turned(query), ...repeated], [
    causal(b, query, allKeys, past), biasOf(b, real, x.type.dtype), c.optional(10),
  ]);
  return [y, allKeys, allValues];
};

/** Positions are rows of the caches: [B, S], or [1], the first one. */
const rotary: Rule = (c) => {
  const { b } = c;
  const [x, positions] = [c.ranked(0, 3, 4), c.input(1)];
  const cosines = c.input(2);
  const part = c.int("rotary_embedding_dim", 0);
  const whole = part || 2 * c.concrete(dimAt(cosines, 1), "The width of the cache");
  const heads = rankOf(x) === 4 ? x : splitHeads(c, x, c.int("num_heads", 0) ||
    c.concrete(c.divided(dimAt(x, 2), whole, "The width does not split into heads")));
  const shape = [dimAt(heads, 0), dimAt(heads, 2)];
  const rows = rankOf(positions) === 2 ? positions : b.addition(
    b.iota(shape, 1, "int32"), b.cast(b.reshape(positions, []), "int32"));
  const y = turn(c, heads, cosines, c.input(3), rows, c.flag("interleaved"), part);
  return rankOf(x) === 4 ? y : joinHeads(b, y);
};

const contrib = (name: string, rule: Rule): Operator =>
  ({ name, domain: "com.microsoft", since: { 1: rule } });

export const fusedAttention: Family = [
  contrib("Attention", attention),
  contrib("MultiHeadAttention", multiHeadAttention),
  contrib("GroupQueryAttention", groupQueryAttention),
  contrib("RotaryEmbedding", rotary),
];
