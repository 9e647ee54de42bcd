/** `netlist` as a function: one programmed tile of an artifact as a SPICE circuit. */
import { tileNetlist } from "../../compiler/emit/crossbar/netlist.ts";
import { UserError } from "../../compiler/errors.ts";
import { elementAt, sizeOf } from "../../compiler/graph/tensor.ts";
import { arraysOf } from "../chip/replicas.ts";
import { readNpy } from "../data/npy.ts";
import { toTensor } from "../data/tensors.ts";
import { readArtifact } from "../files/artifactFiles.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { chipSourceOf } from "./chip.ts";

export interface NetlistRequest {
  readonly directory: string;
  /** Tile id, as crossbars.json names it. */
  readonly tile: string;
  /** Volts, one per row of the tile (.npy); the target's read voltage on every row without it. */
  readonly volt?: string;
  /** Resistors for all cells, whatever current-voltage law the target's device has. */
  readonly linear?: boolean;
  /** Where to write it. */
  readonly out?: string;
}

export interface NetlistResult {
  readonly tile: string;
  readonly rows: number;
  readonly columns: number;
  /** The file that was written, or null. */
  readonly file: string | null;
  readonly netlist: string;
}

/** @throws UserError when there is no such tile, or the voltages do not fit its rows */
export async function netlistOf(request: NetlistRequest): Promise<NetlistResult> {
  const source = await chipSourceOf(await readArtifact(request.directory));
  const tiles = (source?.blocks ?? []).flatMap(({ crossbar, home }) =>
    crossbar.sharedWith !== undefined ? []
      : arraysOf(crossbar).tiles.map((tile) => ({ tile, home })));
  const found = tiles.find(({ tile }) => tile.id === request.tile);
  if (!source || !found) {
    const some = tiles.slice(0, 5).map(({ tile }) => tile.id);
    throw new UserError(`has no tile "${request.tile}"`, {
      place: request.directory,
      remedy:
        tiles.length === 0
          ? "Every unit is digital: compile it with --analog all for crossbars."
          : `Its ${tiles.length} tiles are ${some.join(", ")}${tiles.length > 5 ? ", ..." : ""}.`,
    });
  }
  const { tile, home: { config, target, cells: device } } = found;
  const volt = await voltages(request.volt, tile.rows, target.input.readVoltage.value);
  const cells = source.read(tile.conductances);
  const law = request.linear === true ? undefined : device;
  const netlist = tileNetlist(config, tile, cells, volt, law);
  if (request.out !== undefined) await writeFileAtomic(request.out, netlist);
  return {
    tile: tile.id,
    rows: tile.rows,
    columns: tile.columns,
    file: request.out ?? null,
    netlist,
  };
}

async function voltages(
  path: string | undefined,
  rows: number,
  readVoltage: number,
): Promise<Float64Array> {
  if (path === undefined) return new Float64Array(rows).fill(readVoltage);
  const given = toTensor(await readNpy(path), path);
  if (sizeOf(given.shape) !== rows) {
    throw new UserError(`holds ${sizeOf(given.shape)} voltages, the tile has ${rows} rows`, {
      place: path,
      remedy: "Give one voltage per row.",
    });
  }
  return Float64Array.from({ length: rows }, (_, i) => elementAt(given, i));
}
