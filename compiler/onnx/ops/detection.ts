/**
 * Non-maximum suppression. Which boxes survive depends on the data, box after box, and so does
 * the size of the result: it is worked out on the host, and the graph holds the answer. This is
 * the one operator here that is no composition of primitives.
 */
import { shapeOf } from "../../graph/graph.ts";
import { elementAt, tensor, type Tensor } from "../../graph/tensor.ts";
import { range } from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

interface Box { readonly y1: number; readonly x1: number; readonly y2: number; readonly x2: number }

function boxAt(boxes: Tensor, batch: number, i: number, centred: boolean): Box {
  const row = batch * (boxes.shape[1] as number) + i;
  const at = (k: number): number => elementAt(boxes, row * 4 + k);
  const [a, b, p, q] = [at(0), at(1), at(2), at(3)];
  if (centred) {
    // x centre, y centre, width, height
    return { x1: a - p / 2, x2: a + p / 2, y1: b - q / 2, y2: b + q / 2 };
  }
  // Any two opposite corners will do.
  return { y1: Math.min(a, p), y2: Math.max(a, p), x1: Math.min(b, q), x2: Math.max(b, q) };
}

/** Intersection over union. */
function overlap(a: Box, b: Box): number {
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  if (height <= 0 || width <= 0) return 0;
  const area = ({ y1, y2, x1, x2 }: Box): number => (y2 - y1) * (x2 - x1);
  return (height * width) / (area(a) + area(b) - height * width);
}

const suppress: Rule = (c) => {
  const [boxes, scores] = [c.value(c.ranked(0, 3)), c.value(c.ranked(1, 3))];
  const scalar = (i: number, fallback: number): number => {
    const v = c.optional(i);
    return v && shapeOf(v)[0] !== 0 ? c.scalar(v) : fallback;
  };
  const [most, limit, least] = [scalar(2, 0), scalar(3, 0), scalar(4, -Infinity)];
  const centred = c.int("center_point_box", 0) === 1;
  const [batches, classes, count] = scores.shape as [number, number, number];
  c.check(boxes.shape[0] === batches && boxes.shape[1] === count && boxes.shape[2] === 4,
    "Boxes and scores do not belong together");
  const kept: number[] = [];
  for (let batch = 0; batch < batches; batch++) {
    const all = range(0, count).map((i) => boxAt(boxes, batch, i, centred));
    for (let k = 0; k < classes; k++) {
      const score = (i: number): number => elementAt(scores, (batch * classes + k) * count + i);
      const order = range(0, count).filter((i) => score(i) > least)
        .sort((i, j) => score(j) - score(i) || i - j);
      const chosen: Box[] = [];
      for (const i of order) {
        if (chosen.length >= most) break;
        const box = all[i] as Box;
        if (chosen.some((other) => overlap(other, box) > limit)) continue;
        chosen.push(box);
        kept.push(batch, k, i);
      }
    }
  }
  return c.b.constant(tensor("int64", [kept.length / 3, 3], kept));
};

export const detection: Family = [
  { name: "NonMaxSuppression", since: { 10: suppress } },
];
