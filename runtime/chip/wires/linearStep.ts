/** What a solver of the linearised array offers to `settle.ts`, whatever the topology. */

export interface StepResult {
  readonly iterations: number;
  readonly converged: boolean;
}

/** Solves with the array's conductances (slopes) held fixed; layouts and signs of `balance.ts`. */
export interface LinearStep {
  /**
   * The change of the drops that removes the given imbalances.
   * @param limit ampere per column that may stay unbalanced
   * @param most iterations at most
   */
  correct(
    supplyImbalance: Float64Array, bitImbalance: Float64Array, limit: Float64Array, most: number,
    supplyDrop: Float64Array, bitDrop: Float64Array,
  ): StepResult;
}
