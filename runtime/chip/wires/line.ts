/**
 * One line of an array: a chain of equal segments with terminals at one or both ends. The few
 * numbers from which both solvers and the residual are written; zero resistance is a shorter
 * chain (one node, or none at all), never a small number.
 */

export interface Line {
  /**
   * chain: one node per position. node: an ideal line behind a terminal resistance, one node in
   * all. ideal: the line is its terminal.
   */
  readonly kind: "chain" | "node" | "ideal";
  /** Positions along the line. */
  readonly length: number;
  /** Siemens of one segment (0 unless `kind` is chain). */
  readonly segment: number;
  /** Siemens between the node at position 0 and the terminal; 0 where that end is open. */
  readonly first: number;
  /** The same for the last position. A `node` line has all its terminal conductance in `first`. */
  readonly last: number;
}

export type LineEnds = "first" | "last" | "both";

/**
 * A line whose terminal sits behind `terminalOhm` and one segment.
 * @param segmentOhm ohm per segment
 * @param terminalOhm ohm of the driver or the sense amplifier at each connected end
 */
export function lineOf(
  length: number, segmentOhm: number, terminalOhm: number, ends: LineEnds,
): Line {
  if (segmentOhm > 0) {
    const end = 1 / (segmentOhm + terminalOhm);
    return {
      kind: "chain",
      length,
      segment: 1 / segmentOhm,
      first: ends === "last" ? 0 : end,
      last: ends === "first" ? 0 : end,
    };
  }
  if (terminalOhm > 0) {
    const first = (ends === "both" ? 2 : 1) / terminalOhm;
    return { kind: "node", length, segment: 0, first, last: 0 };
  }
  return { kind: "ideal", length, segment: 0, first: 0, last: 0 };
}
