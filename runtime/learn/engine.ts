/**
 * Where learning computes: tensors that stay where they are, and graphs made ready once and run
 * many times. Two engines implement this, the float64 reference (`referenceEngine.ts`, slow and
 * obvious) and devices (`deviceEngine.ts`); everything else in this folder is written against it.
 *
 * Memory is counted by hand: what `hold` and `run` return belongs to the caller until `release`.
 */
import type { Graph } from "../../compiler/graph/graph.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";

/** A tensor that an engine keeps. */
export interface Held {
  readonly shape: readonly number[];
}
export type HeldMap = ReadonlyMap<string, Held>;

export interface Prepared {
  readonly graph: Graph;
  /**
   * Runs the graph on inputs by name; more inputs than it has are ignored. Outputs go to the
   * tensors named in `into` (of the right shape, and no input of this run), others are new.
   * @throws InternalError when an input is missing.
   */
  run(inputs: HeldMap, into?: HeldMap): Promise<Map<string, Held>>;
}

export interface Engine {
  /** What results say of where they were computed. */
  readonly description: string;
  /** Bytes of precision: decides which tolerances make sense. */
  readonly float: "f32" | "f64";
  prepare(graph: Graph): Promise<Prepared>;
  hold(tensor: Tensor): Held;
  read(held: Held): Promise<Tensor>;
  /** Gives the memory back; the tensor must not be used again. */
  release(held: Held): void;
}

export const releaseAll = (engine: Engine, held: Iterable<Held>): void => {
  for (const h of new Set(held)) engine.release(h);
};
