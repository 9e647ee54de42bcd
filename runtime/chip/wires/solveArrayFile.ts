/**
 * What `crosstie solve-array FILE.json` does: reads one array with its inputs, solves it, and
 * returns the report that the command prints. The command line itself is elsewhere.
 */

import { UserError } from "../../../compiler/errors.ts";
import { readJson } from "../../files/read.ts";
import type { ArrayFile } from "./arrayFile.ts";
import { parseArrayFile } from "./arrayFile.ts";
import { solveArrayAndMatrix } from "./solve.ts";

export interface ArrayReport {
  /** `[k][col]`, for each input vector k. */
  readonly outputAmpere: number[][];
  /**
   * `[row][col]`; null where there is none, because the outputs are no linear function of the
   * inputs (nonlinear cells, separate source lines).
   */
  readonly effectiveConductanceSiemens: number[][] | null;
  /** Of conjugate gradients, the most that any input took; 0 if all were solved directly. */
  readonly iterations: number;
  /** The largest of any input: unbalanced over flowing current at the nodes, 2-norms. */
  readonly residual: number;
  readonly seconds: number;
}

/**
 * Solves the array that a parsed file describes.
 * @param place the file, for messages
 * @param milliseconds a clock
 * @throws UserError if the file is wrong or nonlinear cells do not settle
 */
export function solveArrayDocument(
  document: unknown, place: string, milliseconds: () => number = () => performance.now(),
): ArrayReport {
  const file = parseArrayFile(document, place);
  const started = milliseconds();
  const solved = solveFile(file, place);
  return { ...solved, seconds: (milliseconds() - started) / 1000 };
}

/** As `solveArrayDocument`, from a file on disk. */
export async function solveArrayFile(path: string): Promise<ArrayReport> {
  return solveArrayDocument(await readJson(path), path);
}

function solveFile(file: ArrayFile, place: string): Omit<ArrayReport, "seconds"> {
  const { circuit, inputs } = file;
  try {
    const { solutions, effectiveConductance } = solveArrayAndMatrix(circuit, inputs);
    return {
      outputAmpere: solutions.map(({ outputAmpere }) => Array.from(outputAmpere)),
      effectiveConductanceSiemens: effectiveConductance === null
        ? null : nested(effectiveConductance, circuit.cols),
      iterations: Math.max(0, ...solutions.map(({ iterations }) => iterations)),
      residual: Math.max(0, ...solutions.map(({ residual }) => residual)),
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message, { place });
  }
}

function nested(grid: Float64Array, cols: number): number[][] {
  return Array.from({ length: grid.length / cols }, (_, i) =>
    Array.from(grid.subarray(i * cols, (i + 1) * cols)));
}
