/**
 * What a cost is: energy, latency and area as the sum of named terms, each with its formula, its
 * numbers and its source, so that `--explain` can print where every joule comes from. And what is
 * costed: plain descriptions of work, with no tie to the graph.
 */

/** One line of a cost: a count or quantity, and what it contributes. */
export interface CostTerm {
  readonly name: string;
  /** The product or sum that gives it, with its numbers. */
  readonly formula: string;
  /** The counted quantity, in `unit`. */
  readonly value: number;
  readonly unit: string;
  /** Where the figure per action comes from: the source string of the target file. */
  readonly source: string;
  readonly energyJ: number;
  readonly latencyS: number;
  readonly areaM2: number;
}

export interface Cost {
  readonly energyJ: number;
  readonly latencyS: number;
  readonly areaM2: number;
  /** Error power over signal power at the model's output, when it was predicted. */
  readonly noise?: number | undefined;
  readonly terms: readonly CostTerm[];
}

export const NO_COST: Cost = { energyJ: 0, latencyS: 0, areaM2: 0, terms: [] };

/** The cost whose totals are the sums of its terms. */
export function costOf(terms: readonly CostTerm[]): Cost {
  let energyJ = 0;
  let latencyS = 0;
  let areaM2 = 0;
  for (const term of terms) {
    energyJ += term.energyJ;
    latencyS += term.latencyS;
    areaM2 += term.areaM2;
  }
  return { energyJ, latencyS, areaM2, terms };
}

/** Costs one after the other: everything adds. */
export function sumCosts(costs: readonly Cost[]): Cost {
  return costOf(costs.flatMap((cost) => cost.terms));
}

/** A term; what is not given is zero. */
export function term(
  part: Omit<CostTerm, "energyJ" | "latencyS" | "areaM2"> & Partial<CostTerm>,
): CostTerm {
  return { energyJ: 0, latencyS: 0, areaM2: 0, ...part };
}

/** A number with four digits and an SI prefix, for formulas: `1.67 pJ`. */
export function withPrefix(value: number, unit: string): string {
  if (value === 0) return `0 ${unit}`;
  const prefixes = ["f", "p", "n", "u", "m", "", "k", "M", "G", "T"];
  const exponent = Math.floor(Math.log10(Math.abs(value)) / 3);
  const index = Math.min(Math.max(exponent + 5, 0), prefixes.length - 1);
  const scaled = value / 10 ** ((index - 5) * 3);
  return `${Number(scaled.toPrecision(4))} ${prefixes[index] ?? ""}${unit}`;
}

/**
 * A contraction as an array sees it: `groups` independent matrices of `rowsK` inputs and `colsN`
 * outputs, each multiplied with `vectors` vectors per inference (the windows of a convolution).
 */
export interface ContractionShape {
  readonly name: string;
  /** Inputs of one group's matrix. */
  readonly rowsK: number;
  /** Outputs of one group's matrix. */
  readonly colsN: number;
  readonly groups: number;
  /** Products per inference. */
  readonly vectors: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly macs: number;
  /** Of the weights over the largest magnitude; a uniform distribution unless given. */
  readonly weightStats?: { readonly meanAbs: number } | undefined;
  /** Of the inputs over their full scale; a uniform distribution unless given. */
  readonly inputStats?: InputStats | undefined;
}

export interface InputStats {
  readonly meanSquare: number;
  readonly meanAbs?: number | undefined;
  /** Fraction of bit pulses that are on. */
  readonly bitActivity?: number | undefined;
}

/** Work of a digital kernel, per inference. */
export interface DigitalWork {
  readonly ops: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly launches: number;
}
