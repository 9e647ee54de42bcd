/**
 * `--untie`: a trainable model with separate weights for the two directions of every coupling,
 * apart by a given share of their size, as if each had been programmed on an array of its own.
 */
import { untieModel } from "../../compiler/energy/untieModel.ts";
import { normalStream } from "../../models/init.ts";
import type { Trainable } from "./trainable.ts";

/**
 * @param spread deviation of each copy from the common weight, as a share of the root mean square
 *   of the weight's elements; 0 starts with equal copies
 */
export function untied(trainable: Trainable, spread: number): Trainable {
  const { model, origins } = untieModel(trainable.model);
  const copies = new Set([...origins].filter(([name, origin]) => name !== origin)
    .map(([name]) => name));
  return {
    ...trainable, model,
    start(seed) {
      const tied = trainable.start(seed);
      return new Map([...model.parameters, ...model.statistics].flatMap(({ name, shape }) => {
        const before = tied.get(origins.get(name) ?? name);
        if (!before) return [];
        const { data } = before;
        const size = spread * Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length);
        const normal = normalStream(seed, `${name}, apart`);
        const own = copies.has(name) ? data.map((x, i) => x + size * normal(i)) : data;
        return [[name, { shape, data: own }] as const];
      }));
    },
  };
}
