/**
 * A tile as a circuit: the array that the wire solver reduces and the SPICE emitter writes, with
 * the target's wires. The used cells sit in the corner next to the drivers (left) and the
 * converters (bottom); the rest of the array is switched off and carries no current.
 */
import { cellCurrent } from "../../../targets/deviceModel.ts";
import type { Device } from "../../../targets/device.ts";
import type { Ohm, Siemens } from "../../../targets/units.ts";
import { InternalError } from "../../errors.ts";
import { arrayNetlist } from "../spice/array.ts";
import type { ArrayCircuit, CellLaw } from "../spice/arrayCircuit.ts";
import type { CrossbarConfig, CrossbarTile } from "./config.ts";

/**
 * The circuit of one tile.
 * @param cells siemens, [rows, columns] of the tile
 * @param device gives the current-voltage law of the cells; linear without one
 */
export function tileCircuit(
  config: CrossbarConfig, tile: Pick<CrossbarTile, "id" | "rows" | "columns">,
  cells: ArrayLike<number>, device?: Device,
): ArrayCircuit {
  const { rows, columns } = tile;
  if (cells.length !== rows * columns) {
    throw new InternalError(`tile ${tile.id} has ${cells.length} conductances`);
  }
  const { rowSegmentOhm, columnSegmentOhm, sourceOhm, senseOhm } = config.array;
  const conductance = Float64Array.from(cells);
  return {
    rows, cols: columns, conductance,
    rowSegmentOhm: rowSegmentOhm as Ohm, colSegmentOhm: columnSegmentOhm as Ohm,
    sourceOhm: sourceOhm as Ohm, senseOhm: senseOhm as Ohm,
    driveEnd: "left", senseEnd: "bottom", topology: "input-line",
    cell: device ? cellLaw(device, conductance) : { kind: "linear" },
  };
}

/**
 * A device's law I = g V + a2 V^2 + a3 V^3 for given conductances; every law that a device file can
 * state has this form, so its coefficients follow from the currents at +1 V and -1 V.
 */
export function cellLaw(device: Device, conductance: Float64Array): CellLaw {
  if (device.currentVoltage.kind === "linear") return { kind: "linear" };
  const quadratic = new Float64Array(conductance.length);
  const cubic = new Float64Array(conductance.length);
  conductance.forEach((g, i) => {
    const up = cellCurrent(device, g as Siemens, 1).ampere;
    const down = cellCurrent(device, g as Siemens, -1).ampere;
    quadratic[i] = (up + down) / 2;
    cubic[i] = (up - down) / 2 - g;
  });
  return { kind: "polynomial", quadratic, cubic };
}

/**
 * SPICE netlist of one tile, as ngspice runs it in batch mode: prints the current of every column.
 * @param volt one value per row of the tile
 * @throws InternalError when the conductances do not fill the tile
 */
export function tileNetlist(
  config: CrossbarConfig, tile: Pick<CrossbarTile, "id" | "rows" | "columns">,
  cells: ArrayLike<number>, volt: ArrayLike<number>, device?: Device,
): string {
  if (volt.length !== tile.rows) {
    throw new InternalError(`tile ${tile.id} has ${tile.rows} rows, ${volt.length} voltages given`);
  }
  const title = `${tile.id} of ${config.target.name}`;
  return arrayNetlist(tileCircuit(config, tile, cells, device), volt, title);
}
