/**
 * From the analog blocks of a hybrid program to crossbars: the configuration as data, and the
 * conductances of every tile, made one at a time as a writer asks for them. What is emitted is the
 * target of programming; variation, noise and time belong to the chip simulation.
 */
import type { HybridTarget } from "../../../targets/schema.ts";
import type { Siemens } from "../../../targets/units.ts";
import type { AnalogBlock, HybridProgram } from "../../partition/hybrid.ts";
import {
  tileGrid, tileSchedule, tilesOf, type CellLayout, type Tile,
} from "../../partition/tiling.ts";
import { originsOf, sameWeights, type WeightMatrix } from "../../partition/units.ts";
import {
  CROSSBARS_FORMAT, CROSSBARS_VERSION,
  type CrossbarBlock, type CrossbarConfig, type CrossbarTile, type CrossbarsFile,
} from "./config.ts";
import { encodingOf, type Encoding } from "./encoding.ts";
import { columnScales } from "./scales.ts";
import { SharedTiles } from "./sharing.ts";
import { encodeTile, tileSize } from "./tileCells.ts";

/** A tensor to be stored, as the safetensors writer takes it. */
export interface CrossbarTensor {
  readonly name: string;
  readonly dtype: "F32";
  readonly shape: readonly number[];
  readonly chunks: () => Iterable<Float32Array>;
}

export interface Crossbars {
  readonly config: CrossbarsFile;
  /** Conductances (siemens) of each distinct tile, and the scales of each block. */
  readonly tensors: readonly CrossbarTensor[];
  /** Arrays occupied: tiles of all copies of all blocks that own theirs, equal content or not. */
  readonly tiles: number;
}

/**
 * Emits every analog block of a program.
 * @param replicas unit id -> copies of its tiles, where there is more than one
 * @param isHere whether a unit is on this target, where there are several
 * @throws UserError when a weight is not finite, or the array holds none of them
 */
export function emitCrossbars(
  program: HybridProgram, target: HybridTarget,
  replicas: ReadonlyMap<string, number> = new Map(),
  isHere: (unit: string) => boolean = () => true,
): Crossbars {
  const blocks = program.segments.filter(
    (s): s is AnalogBlock => s.kind === "analog" && isHere(s.units[0].id));
  const first = sameWeights(blocks.map(({ units }) => units[0]));
  const known = new Map<string, string>();
  return emitBlocks(blocks.map(({ id, units: [unit], form }) => {
    const copies = replicas.get(unit.id);
    const weights = `${first.get(unit.id)} ${copies ?? 1}`;
    const sharedWith = known.get(weights);
    if (sharedWith === undefined) known.set(weights, id);
    return {
      id, nodes: originsOf(unit.cluster), matrix: form.matrix, replicas: copies, sharedWith,
    };
  }), target);
}

/** What the emission needs of a block. */
export interface BlockSource {
  readonly id: string;
  /** ONNX nodes. */
  readonly nodes: readonly string[];
  readonly matrix: WeightMatrix;
  /** Copies of its tiles; one unless given. */
  readonly replicas?: number | undefined;
  /** An earlier block whose tiles hold its weights too. */
  readonly sharedWith?: string | undefined;
}

/** As `emitCrossbars`, for blocks that come from elsewhere. */
export function emitBlocks(blocks: readonly BlockSource[], target: HybridTarget): Crossbars {
  const encoding = encodingOf(target);
  const shared = new SharedTiles();
  const tensors: CrossbarTensor[] = [];
  const emitted: CrossbarBlock[] = [];
  for (const block of blocks) {
    const owner = emitted.find(({ id }) => id === block.sharedWith);
    emitted.push(owner ? { ...owner, id: block.id, nodes: [...block.nodes], sharedWith: owner.id }
      : emitBlock(block, target, encoding, shared, tensors));
  }
  return {
    config: { ...describeTarget(target, encoding), blocks: emitted },
    tensors,
    tiles: owners(emitted).reduce((sum, b) => sum + b.tiles.length * (b.replicas ?? 1), 0),
  };
}

/** The blocks that have tiles of their own: each array of the chip is one of theirs. */
export const owners = (blocks: readonly CrossbarBlock[]): CrossbarBlock[] =>
  blocks.filter(({ sharedWith }) => sharedWith === undefined);

function emitBlock(
  { id, nodes, matrix, replicas = 1 }: BlockSource, target: HybridTarget, encoding: Encoding,
  shared: SharedTiles, tensors: CrossbarTensor[],
): CrossbarBlock {
  const grid = tileGrid(matrix, target);
  const { layout } = grid;
  const scales = columnScales(matrix, target.encoding.perColumnScale);
  const { groups, rowsK, colsN, strides } = matrix;
  const scalesName = `${id}.scales`;
  tensors.push({
    name: scalesName, dtype: "F32", shape: [groups, colsN], chunks: () => [scales],
  });
  const tiles: CrossbarTile[] = [];
  for (const tile of tilesOf(matrix, grid)) {
    const name = `${id}.tile${tile.index}`;
    const conductances = shared.nameOf({ matrix, scales, tile }, name);
    const { rows, columns } = tileSize(tile, layout);
    if (conductances === name) {
      tensors.push({
        name, dtype: "F32", shape: [rows, columns],
        chunks: () => [encodeTile(matrix, scales, tile, layout, encoding)],
      });
    }
    tiles.push({ id: name, conductances, rows, columns, ...spansOf(tile) });
  }
  const schedule = tileSchedule(target, grid);
  return {
    id, nodes: [...nodes],
    weights: { name: matrix.name, shape: [...matrix.tensor.shape] },
    matrix: { groups, rowsK, colsN, strides: { ...strides } },
    scales: scalesName,
    layout: { ...layout },
    grid: {
      groupTiles: grid.groupTiles, rowTiles: grid.rowTiles, columnTiles: grid.columnTiles,
      groupsPerTile: grid.groupsPerTile,
    },
    schedule: {
      arrayReads: schedule.arrayReads, conversions: schedule.conversions,
      cycleSecond: schedule.cycle, intervalSecond: schedule.interval,
      latencySecond: schedule.latency, formula: schedule.formula,
    },
    ...(replicas === 1 ? {} : { replicas }),
    tiles,
  };
}

const spansOf = ({ groups, inputs, outputs }: Tile): Pick<
  CrossbarTile, "groups" | "inputs" | "outputs"
> => ({ groups: { ...groups }, inputs: { ...inputs }, outputs: { ...outputs } });

function describeTarget(
  target: HybridTarget, encoding: Encoding,
): Omit<CrossbarConfig, "blocks"> {
  const { array, cell, input, adc, wire } = target;
  const { percentile } = adc.range;
  const approximation = adc.successiveApproximation;
  return {
    format: CROSSBARS_FORMAT, version: CROSSBARS_VERSION,
    target: { name: target.name, evidence: target.evidence },
    array: {
      rows: array.rows.value, columns: array.columns.value,
      rowsAtOnce: array.rowsAtOnce?.value ?? array.rows.value,
      rowSegmentOhm: wire.rowSegment.value, columnSegmentOhm: wire.columnSegment.value,
      sourceOhm: wire.sourceResistance?.value ?? 0, senseOhm: wire.senseResistance?.value ?? 0,
    },
    cell: { device: cell.device, gMinSiemens: cell.gMin.value, gMaxSiemens: cell.gMax.value },
    encoding: {
      scheme: encoding.scheme, sides: encoding.sides, slices: encoding.slices,
      bits: encoding.bits, subtract: encoding.subtract,
      perColumnScale: target.encoding.perColumnScale,
      significance: [...encoding.significance], gain: encoding.gain, zero: encoding.zero,
      referenceSiemens: [...encoding.reference], idleSiemens: [...encoding.idle],
    },
    input: {
      bits: input.bits.value, coding: input.coding, sign: input.sign,
      sliceBits: input.sliceBits.value, phases: input.phases.value,
      ...(input.phaseBits === undefined ? {} : { phaseBits: input.phaseBits.value }),
      readVolt: input.readVoltage.value, readSecond: input.readTime.value,
    },
    converter: {
      bits: adc.bits.value, share: adc.share.value,
      range: {
        policy: adc.range.policy,
        ...(percentile === undefined ? {} : { percentile: percentile.value }),
      },
      gainSpread: adc.gainSpread?.value ?? 0, offsetSpread: adc.offsetSpread?.value ?? 0,
      ...(approximation === undefined ? {} : {
        successiveApproximation: {
          capacitorSpread: approximation.capacitorSpread?.value ?? 0,
          comparatorOffset: approximation.comparatorOffset?.value ?? 0,
          ...(approximation.openLoopGain === undefined ? {}
            : { openLoopGain: approximation.openLoopGain.value }),
        },
      }),
    },
  };
}

/** The encoding that a configuration describes. */
export function encodingFrom({ cell, encoding }: CrossbarConfig): Encoding {
  const { scheme, sides, slices, bits, subtract, significance, gain, zero } = encoding;
  return {
    scheme, sides, slices, bits, subtract, significance, gain, zero,
    gMin: cell.gMinSiemens as Siemens, gMax: cell.gMaxSiemens as Siemens,
    reference: encoding.referenceSiemens as Siemens[], idle: encoding.idleSiemens as Siemens[],
  };
}

/** A tile of a configuration as the tiling knows it. */
export const tileFrom = (tile: CrossbarTile, index: number): Tile =>
  ({ index, groups: tile.groups, inputs: tile.inputs, outputs: tile.outputs });

/** The layout of a block's tiles, as the tiling knows it. */
export const layoutFrom = ({ layout }: CrossbarBlock): CellLayout => layout;
