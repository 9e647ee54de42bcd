/** Attention over sequences: scaled dot products, rotary positions, linear recurrences. */
import { addDims, mulDims, subDims, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  dimAt, matmul, pick, softmax, splitAt, swapLastTwo, unsqueeze, zeros,
} from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

// ---- heads ---------------------------------------------------------------------------------

/** [B, S, H*D] to [B, H, S, D]. */
export function splitHeads(c: RuleContext, v: Value, heads: number): Value {
  const [batch, steps, width] = shapeOf(v) as [Dim, Dim, Dim];
  const size = c.divided(
    width, heads, `A width of ${String(width)} does not split into ${heads} heads`);
  return c.b.transpose(c.b.reshape(v, [batch, steps, heads, size]), [0, 2, 1, 3]);
}

/** [B, H, S, D] to [B, S, H*D]. */
export function joinHeads(b: Builder, v: Value): Value {
  const [batch, heads, steps, size] = shapeOf(v) as [Dim, Dim, Dim, Dim];
  return b.reshape(b.transpose(v, [0, 2, 1, 3]), [batch, steps, mulDims(heads, size)]);
}

/** Repeats every key or value head for the queries that share it: [B, H, ..] to [B, H*r, ..]. */
export function repeatHeads(b: Builder, v: Value, times: number): Value {
  if (times === 1) return v;
  const [batch, heads, ...rest] = shapeOf(v) as [Dim, Dim, ...Dim[]];
  const spread = b.broadcast(unsqueeze(b, v, [2]), [batch, heads, times, ...rest]);
  return b.reshape(spread, [batch, mulDims(heads, times), ...rest]);
}

// ---- Attention -----------------------------------------------------------------------------

const negativeInfinity = (b: Builder, like: Value): Value => b.full(like, -Infinity);

/** Shown or hidden as a bias to add: 0 or -infinity. */
export function biasOf(b: Builder, shown: Value, dtype: Value["type"]["dtype"]): Value {
  return b.where(shown, b.full(shown, 0, dtype), b.full(shown, -Infinity, dtype));
}

/** A mask that covers only the first keys hides the rest. */
function fullWidth(c: RuleContext, bias: Value, keys: Dim): Value {
  const width = dimAt(bias, rankOf(bias) - 1);
  const more = subDims(keys, width);
  if (more === 0 || width === 1) return bias;
  const short = c.concrete(more, "The width of the mask");
  c.check(short >= 0, "The mask is wider than there are keys");
  const high = shapeOf(bias).map((_, i) => (i === rankOf(bias) - 1 ? short : 0));
  return c.b.pad(bias, high.map(() => 0), high, -Infinity);
}

/**
 * What is added to scores [B, H, Q, K]: the mask, the causal triangle (query q of sequence b sees
 * keys up to q + offset) and the padding at the end of each sequence's keys.
 */
function attentionBias(
  c: RuleContext, scores: Value, past: Dim, mask: Value | undefined, lengths: Value | undefined,
): Value | undefined {
  const { b } = c;
  const { dtype } = scores.type;
  const [, , queries, keys] = shapeOf(scores) as [Dim, Dim, Dim, Dim];
  const parts: Value[] = [];
  if (mask) {
    const bias = mask.type.dtype === "bool" ? biasOf(b, mask, dtype) : b.cast(mask, dtype);
    parts.push(fullWidth(c, bias, keys));
  }
  const column = b.iota([queries, keys], 1, "int32");
  const count = lengths && b.reshape(b.cast(lengths, "int32"), [dimAt(lengths, 0), 1, 1, 1]);
  if (c.flag("is_causal")) {
    const row = b.iota([queries, keys], 0, "int32");
    // With padded keys the last query stands at the last real key.
    const offset = count ? b.sub(count, b.size(queries, "int32")) : b.size(past, "int32");
    parts.push(biasOf(b, b.binary("le", column, b.addition(row, offset)), dtype));
  }
  if (count) parts.push(biasOf(b, b.binary("lt", column, count), dtype));
  return parts.length === 0 ? undefined : parts.reduce((x, y) => b.addition(x, y));
}

/** Softmax over keys; a query that sees none attends to nothing instead of giving NaN. */
export function attendTo(b: Builder, scores: Value, bias: Value | undefined): Value {
  const last = rankOf(scores) - 1;
  if (!bias) return softmax(b, scores, [last]);
  const masked = b.addition(scores, bias);
  const best = b.reduce("max", bias, [rankOf(bias) - 1], true);
  const blind = b.binary("eq", best, negativeInfinity(b, best));
  return b.where(blind, b.full(masked, 0), softmax(b, masked, [last]));
}

const attention: Rule = (c) => {
  const { b } = c;
  const [q, k, v] = [c.ranked(0, 3, 4), c.ranked(1, 3, 4), c.ranked(2, 3, 4)];
  const packed = rankOf(q) === 3;
  const heads = (x: Value, name: string): Value =>
    (rankOf(x) === 3 ? splitHeads(c, x, c.int(name)) : x);
  const query = heads(q, "q_num_heads");
  const [pastKey, pastValue] = [c.optional(4), c.optional(5)];
  const withPast = (past: Value | undefined, now: Value): Value =>
    (past ? b.concat([past, now], 2) : now);
  const key = withPast(pastKey, heads(k, "kv_num_heads"));
  const value = withPast(pastValue, heads(v, "kv_num_heads"));
  const shared = c.concrete(
    c.divided(dimAt(query, 1), dimAt(key, 1), "Query heads are no multiple of key heads"));
  const scale = c.has("scale") ? c.float("scale")
    : 1 / Math.sqrt(c.concrete(dimAt(query, 3), "The size of a head"));
  // Half of the scale on either side keeps float16 products in range.
  const half = Math.sqrt(scale);
  const scaled = (x: Value): Value => b.mul(x, b.full(x, half));
  const repeatedKey = repeatHeads(b, key, shared);
  const raw = matmul(b, scaled(query), swapLastTwo(b, scaled(repeatedKey)));
  const cap = c.float("softcap", 0);
  const capped = cap === 0 ? raw
    : b.mul(b.unary("tanh", b.div(raw, b.full(raw, cap))), b.full(raw, cap));
  const bias = attentionBias(
    c, raw, pastKey ? dimAt(pastKey, 2) : 0, c.optional(3), c.optional(6));
  const weights = attendTo(b, capped, bias);
  const out = matmul(b, weights, repeatHeads(b, value, shared));
  const stages = [raw, capped, bias ? b.addition(capped, bias) : capped, weights];
  const mode = c.int("qk_matmul_output_mode", 0);
  c.check(stages[mode] !== undefined, `qk_matmul_output_mode is ${mode}`);
  return [packed ? joinHeads(b, out) : out, key, value, stages[mode]];
};

// ---- RotaryEmbedding -----------------------------------------------------------------------

const rotary: Rule = (c) => {
  const x = c.ranked(0, 3, 4);
  const heads = rankOf(x) === 3 ? splitHeads(c, x, c.int("num_heads")) : x;
  const out = turn(c, heads, c.input(1), c.input(2), c.optional(3));
  return rankOf(x) === 3 ? joinHeads(c.b, out) : out;
};

/**
 * Turns pairs of elements of [B, H, S, D] by position: neighbours if interleaved, else one from
 * each half. The caches are [B, S, half], or [positions, half] to take rows of.
 */
export function turn(
  c: RuleContext, heads: Value, cosines: Value, sines: Value, positions: Value | undefined,
  interleaved = c.flag("interleaved"), part = c.int("rotary_embedding_dim", 0),
): Value {
  const { b } = c;
  const whole = c.concrete(dimAt(heads, 3), "The size of a head");
  const turned = part || whole;
  c.check(turned % 2 === 0 && turned <= whole, `${turned} of ${whole} elements cannot be turned`);
  const half = turned / 2;
  // [B, S, half] from the cache, with an axis for the heads.
  const angles = (cache: Value): Value => unsqueeze(b, b.slice(
    positions ? b.gather(cache, positions, 0) : cache, [0, 0, 0],
    [...shapeOf(positions ?? cache).slice(0, 2), half]), [1]);
  const [cos, sin] = [angles(cosines), angles(sines)];
  const [front, rest] = splitAt(b, heads, 3, [turned, whole - turned]) as [Value, Value];
  const lead = shapeOf(front).slice(0, 3);
  const pairs = b.reshape(front, interleaved ? [...lead, half, 2] : [...lead, 2, half]);
  const axis = interleaved ? 4 : 3;
  const [p, q] = [pick(b, pairs, axis, 0), pick(b, pairs, axis, 1)];
  const real = b.sub(b.mul(p, cos), b.mul(q, sin));
  const imaginary = b.addition(b.mul(p, sin), b.mul(q, cos));
  const both = b.concat([unsqueeze(b, real, [axis]), unsqueeze(b, imaginary, [axis])], axis);
  return b.concat([b.reshape(both, shapeOf(front)), rest], 3);
}

// ---- LinearAttention -----------------------------------------------------------------------

/**
 * A matrix state per head, read by queries and written by keys and values, step by step:
 * S = decay * S + k (beta * (v - S'k))' in the full ("gated_delta") rule; o = scale * S'q.
 */
const linearAttention: Rule = (c) => {
  const { b } = c;
  const rule = c.choice("update_rule", "gated_delta", "linear", "gated", "delta");
  const [queryHeads, heads] = [c.int("q_num_heads"), c.int("kv_num_heads")];
  c.check(heads >= 1 && queryHeads % heads === 0, "Query heads are no multiple of key heads");
  const { dtype } = c.input(0).type;
  const wide = (v: Value): Value => b.cast(v, "float32");
  const query = wide(splitHeads(c, c.ranked(0, 3), queryHeads));
  const [key, value] = [1, 2].map((i) => wide(splitHeads(c, c.ranked(i, 3), heads))) as
    [Value, Value];
  const size = c.concrete(dimAt(query, 3), "The size of a head");
  const scale = c.float("scale", 0) || 1 / Math.sqrt(size);
  const gated = rule === "gated" || rule === "gated_delta";
  const corrected = rule === "delta" || rule === "gated_delta";
  // Per head and key element, or per head; as [B, H, T, D or 1].
  const decay = gated ? b.unary("exp", wide(splitHeads(c, c.ranked(4, 3), heads))) : undefined;
  const rate = corrected ? wide(b.transpose(unsqueeze(b, c.ranked(5, 3), [3]), [0, 2, 1, 3]))
    : undefined;
  const past = c.optional(3);
  let state = past ? wide(past)
    : zeros(b, "float32", [dimAt(key, 0), heads, dimAt(key, 3), dimAt(value, 3)]);
  const steps = c.concrete(dimAt(query, 2), "The number of steps");
  const outputs: Value[] = [];
  const at = (v: Value, t: number): Value => b.sliceAxis(v, 2, t, addDims(t, 1));
  for (let t = 0; t < steps; t++) {
    // Row vectors [B, H, 1, D]; as columns [B, H, D, 1].
    const keyColumn = swapLastTwo(b, at(key, t));
    if (decay) state = b.mul(state, swapLastTwo(b, at(decay, t)));
    const now = at(value, t);
    const written = rate
      ? b.mul(at(rate, t), b.sub(now, matmul(b, at(key, t), state))) : now;
    state = b.addition(state, matmul(b, keyColumn, written));
    const read = matmul(b, at(query, t), repeatHeads(b, state, queryHeads / heads));
    outputs.push(b.mul(read, b.full(read, scale)));
  }
  return [b.cast(joinHeads(b, b.concat(outputs, 2)), dtype), b.cast(state, dtype)];
};

export const attentions: Family = [
  { name: "Attention", since: { 23: attention } },
  { name: "RotaryEmbedding", since: { 23: rotary } },
  { name: "LinearAttention", since: { 27: linearAttention } },
];

