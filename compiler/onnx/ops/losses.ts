/** Losses over class indices, as forward values; their gradients are the primitives' business. */
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { RuleContext } from "../context.ts";
import { gatherAlong, logSoftmax, range, squeeze, unsqueeze } from "../lowering.ts";
import type { Family } from "../operator.ts";

/**
 * -w[t] * x[n, t, ..] for targets t, reduced as the node says; `ignore_index` counts nothing.
 * x [N, C, d1..], target [N, d1..].
 */
function negativeLogLikelihood(
  c: RuleContext, x: Value, target: Value, weights: Value | undefined,
): Value {
  const { b } = c;
  c.check(rankOf(x) >= 2 && rankOf(target) === rankOf(x) - 1,
    `Scores have ${rankOf(x)} axes, targets ${rankOf(target)}`);
  const index = b.cast(target, "int32");
  const counted = c.has("ignore_index")
    ? b.not(b.binary("eq", index, b.full(index, c.int("ignore_index")))) : undefined;
  const safe = counted ? b.where(counted, index, b.full(index, 0)) : index;
  const scores = squeeze(b, gatherAlong(b, x, unsqueeze(b, safe, [1]), 1), [1]);
  const one = b.full(scores, 1);
  const weight = weights ? b.gather(weights, safe, 0) : one;
  const share = counted ? b.where(counted, weight, b.full(weight, 0)) : weight;
  const loss = b.unary("neg", b.mul(scores, share));
  const how = c.choice("reduction", "mean", "sum", "none");
  if (how === "none") return loss;
  const axes = range(0, rankOf(loss));
  const total = b.reduce("sum", loss, axes);
  return how === "sum" ? total : b.div(total, b.reduce("sum", share, axes));
}

export const losses: Family = [
  {
    name: "NegativeLogLikelihoodLoss",
    since: { 12: (c) => negativeLogLikelihood(c, c.input(0), c.input(1), c.optional(2)) },
  },
  {
    name: "SoftmaxCrossEntropyLoss",
    since: {
      12: (c) => {
        const logits = c.input(0);
        c.check(shapeOf(logits).length >= 2, "The scores need a class axis");
        const logs = logSoftmax(c.b, logits, [1]);
        return [negativeLogLikelihood(c, logs, c.input(1), c.optional(2)), logs];
      },
    },
  },
];
