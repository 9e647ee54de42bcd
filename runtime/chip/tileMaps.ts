/**
 * What a tile of a programmed chip looks like, cell by cell, for people to see: the conductances
 * that were wanted and that there are, and the node voltages while every row is driven with the
 * read voltage. The circuit is the one that the wire solver and the netlist have; cells count with
 * their own current-voltage law. No picture is made here.
 */
import { tileCircuit } from "../../compiler/emit/crossbar/netlist.ts";
import type { BlockDescription } from "./idealBlock.ts";
import { storedWeights } from "./idealBlock.ts";
import { layoutOf } from "./layout.ts";
import { programTiles, type ChipSetting } from "./programBlock.ts";
import { solveArray } from "./wires/solve.ts";

/** Grids are [rows, columns] of the tile. */
export interface TileMaps {
  readonly tile: string;
  readonly block: string;
  /** The target whose arrays hold it. */
  readonly home: string;
  readonly rows: number;
  readonly columns: number;
  /** Siemens. */
  readonly target: Float64Array;
  readonly programmed: Float64Array;
  /** Programmed less target, siemens. */
  readonly error: Float64Array;
  /** Potentials of the row and the column side of each cell, volt. */
  readonly rowVolt: Float64Array;
  readonly columnVolt: Float64Array;
  /** Share of the read voltage that does not reach each cell. */
  readonly drop: Float64Array;
}

/** The maps of every tile of a block as chip number `trial`, one after the other. */
export function* tileMaps(
  block: BlockDescription, setting: ChipSetting, trial: number,
): Generator<TileMaps> {
  const { config, cells: device, imperfections } = setting;
  const layout = layoutOf(config, block.crossbar);
  const { readVolt } = config.input;
  for (const one of programTiles(storedWeights(block), setting, layout, trial)) {
    const { tile, cells } = one;
    const { rows, columns } = tile;
    const target = Float64Array.from(one.target);
    const circuit = tileCircuit(config, tile, cells, device);
    const wires = imperfections.wires ? circuit : withoutWires(circuit);
    const [solved] = solveArray(wires, [new Float64Array(rows).fill(readVolt)]);
    const { supplyDrop, bitDrop, cellVolt } = solved as NonNullable<typeof solved>;
    yield {
      tile: tile.id, block: block.crossbar.id, home: config.target.name,
      rows, columns, target, programmed: cells,
      error: cells.map((g, i) => g - (target[i] as number)),
      rowVolt: supplyDrop.map((u) => readVolt - u),
      columnVolt: bitDrop,
      drop: cellVolt.map((v) => 1 - v / readVolt),
    };
  }
}

function withoutWires(circuit: ReturnType<typeof tileCircuit>): ReturnType<typeof tileCircuit> {
  const none = 0 as typeof circuit.rowSegmentOhm;
  return { ...circuit, rowSegmentOhm: none, colSegmentOhm: none, sourceOhm: none, senseOhm: none };
}
