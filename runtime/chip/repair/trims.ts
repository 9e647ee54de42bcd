/**
 * What can be set per converted column without touching a cell: the gain of its conversions, and
 * how much of the reference column is taken off before them. A repaired tile uses both; noise is
 * amplified with the signal.
 */

/** Per converted column of a tile: outputs, slices, sides, the last the fastest. */
export interface ColumnTrims {
  /** Currents are divided by this before conversion. */
  readonly gain: Float64Array;
  /** Share of the reference column's current that is taken off. */
  readonly reference: Float64Array;
}

export const noTrims = (columns: number): ColumnTrims =>
  ({ gain: new Float64Array(columns).fill(1), reference: new Float64Array(columns).fill(1) });
