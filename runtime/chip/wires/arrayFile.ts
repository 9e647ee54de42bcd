/**
 * The file format of one array with its inputs, read and checked: sizes, wires and cells by name,
 * every complaint with its place. Keys that only report (reference outputs, notes) are passed over;
 * a key that is a known one misspelt in case or punctuation is an error. No solving.
 */

import { z } from "zod";
import type { ArrayCircuit, CellLaw } from "../../../compiler/emit/spice/arrayCircuit.ts";
import { topologies } from "../../../compiler/emit/spice/arrayCircuit.ts";
import type { Topology } from "../../../compiler/emit/spice/arrayCircuit.ts";
import { UserError } from "../../../compiler/errors.ts";
import { parseWith } from "../../../targets/parse.ts";
import { ohm } from "../../../targets/units.ts";

const gridOrNumber = z.union([z.number(), z.array(z.unknown())]);

const schema = z.looseObject({
  rows: z.number(),
  cols: z.number(),
  rowSegmentOhm: z.number(),
  colSegmentOhm: z.number(),
  sourceOhm: z.number().optional(),
  senseOhm: z.number().optional(),
  driveEnd: z.enum(["left", "right", "top", "bottom", "both"]).optional(),
  senseEnd: z.enum(["top", "bottom", "both"]).optional(),
  topology: z.enum(Object.keys(topologies) as [Topology, ...Topology[]]).optional(),
  /** I = g V + quadratic V^2 + cubic V^3; A/V^2 and A/V^3, one number or `[row][col]`. */
  cell: z.strictObject({ quadratic: gridOrNumber, cubic: gridOrNumber }).optional(),
  /** Siemens, `[row][col]`; "short" is a cell without resistance. */
  conductanceSiemens: z.array(z.unknown()),
  /** Volt, `[k][row]`. */
  inputVolt: z.array(z.unknown()),
});

export interface ArrayFile {
  readonly circuit: ArrayCircuit;
  readonly inputs: readonly Float64Array[];
}

/**
 * @param document the parsed JSON
 * @param place the file, for messages
 * @throws UserError naming the key and the remedy
 */
export function parseArrayFile(document: unknown, place: string): ArrayFile {
  if (typeof document === "object" && document !== null) refuseMisspelt(document, place);
  const file = parseWith(schema, document, place);
  const { rows, cols } = file;
  const at = (key: string): string => `${place}: ${key}`;
  const grid = (values: readonly unknown[], key: string): Float64Array =>
    readGrid(values, { outer: rows, inner: cols, names: ["rows", "cols"] }, at(key));
  for (const [key, count] of [["rows", rows], ["cols", cols]] as const) {
    if (Number.isInteger(count) && count >= 1) continue;
    throw new UserError(`expected a whole number of at least 1, got ${count}`, {
      place: at(key), remedy: "Count the lines of the array.",
    });
  }
  const inputs = file.inputVolt.map((_, k) =>
    readGrid(file.inputVolt.slice(k, k + 1), { outer: 1, inner: rows, names: ["", "rows"] },
      at("inputVolt"), k));
  const cell: CellLaw | undefined = file.cell === undefined ? undefined : {
    kind: "polynomial",
    quadratic: typeof file.cell.quadratic === "number"
      ? file.cell.quadratic : grid(file.cell.quadratic, "cell.quadratic"),
    cubic: typeof file.cell.cubic === "number"
      ? file.cell.cubic : grid(file.cell.cubic, "cell.cubic"),
  };
  const conductance = grid(file.conductanceSiemens, "conductanceSiemens");
  const negative = conductance.findIndex((g) => g < 0);
  if (negative >= 0) {
    const where = `conductanceSiemens[${Math.floor(negative / cols)}][${negative % cols}]`;
    throw new UserError(`a conductance cannot be negative, got ${conductance[negative]}`, {
      place: at(where), remedy: "Give siemens, 0 for an open cell.",
    });
  }
  const optionalOhm = (key: "sourceOhm" | "senseOhm") => {
    const value = file[key];
    return value === undefined ? undefined : ohm(value, at(key));
  };
  return {
    circuit: {
      rows, cols, conductance, cell,
      rowSegmentOhm: ohm(file.rowSegmentOhm, at("rowSegmentOhm")),
      colSegmentOhm: ohm(file.colSegmentOhm, at("colSegmentOhm")),
      sourceOhm: optionalOhm("sourceOhm"),
      senseOhm: optionalOhm("senseOhm"),
      driveEnd: file.driveEnd,
      senseEnd: file.senseEnd,
      topology: file.topology,
    },
    inputs,
  };
}

const plain = (key: string): string => key.toLowerCase().replace(/[^a-z]/g, "");

function refuseMisspelt(document: object, place: string): void {
  const known = new Map(Object.keys(schema.shape).map((key) => [plain(key), key]));
  for (const key of Object.keys(document)) {
    const meant = known.get(plain(key));
    if (meant === undefined || meant === key) continue;
    throw new UserError(`unknown key "${key}"`, { place, remedy: `Write it "${meant}".` });
  }
}

interface Shape {
  readonly outer: number;
  readonly inner: number;
  /** The keys that say how many there must be. */
  readonly names: readonly [string, string];
}

/** A rectangle of numbers; `first` is the index that the first row has in the file. */
function readGrid(
  values: readonly unknown[], shape: Shape, place: string, first = 0,
): Float64Array {
  const { outer, inner, names } = shape;
  if (values.length !== outer) {
    throw new UserError(`expected ${outer} rows, got ${values.length}`, {
      place, remedy: `Give as many as "${names[0]}" says.`,
    });
  }
  const out = new Float64Array(outer * inner);
  values.forEach((row, i) => {
    const rowPlace = `${place}[${first + i}]`;
    if (!Array.isArray(row) || row.length !== inner) {
      const got = Array.isArray(row) ? `${row.length}` : JSON.stringify(row);
      throw new UserError(`expected ${inner} numbers, got ${got}`, {
        place: rowPlace, remedy: `Give as many as "${names[1]}" says.`,
      });
    }
    row.forEach((value: unknown, j) => {
      const short = value === "short" && place.endsWith("conductanceSiemens");
      if (!short && !Number.isFinite(value)) {
        throw new UserError(`expected a finite number, got ${JSON.stringify(value)}`, {
          place: `${rowPlace}[${j}]`, remedy: "Correct the value.",
        });
      }
      out[i * inner + j] = short ? Infinity : (value as number);
    });
  });
  return out;
}
