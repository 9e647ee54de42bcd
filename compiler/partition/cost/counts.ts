/**
 * How often each action happens and how many instances each component has: the two tables that turn
 * a target's bill of materials into joules, watts and square metres. Every component of every
 * target goes through the same tables, so a new target needs no code.
 */
import { UserError } from "../../errors.ts";
import type { Action, Component, HybridTarget, Owner } from "../../../targets/schema.ts";
import { convertedColumns } from "../../../targets/schedule.ts";
import type { Schedule } from "../../../targets/schedule.ts";

/** Use of arrays by one product with every tile of a contraction. */
export interface Usage {
  readonly tiles: number;
  /** Sums over tiles. */
  readonly usedRows: number;
  readonly usedColumns: number;
  /** Cells that hold weights. */
  readonly weightCells: number;
}

/** What all cells of one array, all used, amount to. */
export function fullArray(target: HybridTarget): Usage {
  const rows = target.array.rows.value;
  const columns = target.array.columns.value;
  return { tiles: 1, usedRows: rows, usedColumns: columns, weightCells: rows * columns };
}

type CountRule = (use: Usage, schedule: Schedule, target: HybridTarget) => number;

const perConvertedColumn =
  (of: (schedule: Schedule) => number): CountRule =>
  (use, schedule, target) =>
    convertedColumns(target, use.usedColumns) * of(schedule);

/** Times an action happens in one product with every tile. */
export const ACTION_COUNTS: Record<Action, CountRule> = {
  "row-pulse": (use, schedule) => use.usedRows * schedule.rowPulses,
  sample: perConvertedColumn((schedule) => schedule.samples),
  integration: perConvertedColumn((schedule) => schedule.integrations),
  "adc-step": perConvertedColumn((schedule) => schedule.adcSteps),
  conversion: perConvertedColumn((schedule) => schedule.conversions),
  "array-read": (use, schedule) => use.tiles * schedule.arrayReads,
  // A row that is sensed as a stored word costs its own cells only.
  sense: (use, schedule, target) => convertedColumns(target, use.weightCells) * schedule.rowPulses,
  product: (use) => use.tiles,
  "input-byte": (use, _, target) => (use.usedRows * target.input.bits.value) / 8,
  "output-byte": (use, _, target) =>
    (convertedColumns(target, use.usedColumns) * target.adc.bits.value) / 8,
};

/** Owners of components per array; a core's share of one array is a fraction. */
export const OWNERS_PER_ARRAY: Record<Owner, (target: HybridTarget) => number> = {
  cell: ({ array }) => array.rows.value * array.columns.value,
  row: ({ array }) => array.rows.value,
  column: ({ array }) => array.columns.value,
  adc: (target) =>
    Math.ceil(convertedColumns(target, target.array.columns.value) / target.adc.share.value),
  array: () => 1,
  core: ({ chip }) => 1 / chip.arraysPerCore.value,
  tile: ({ chip }) => 1 / (chip.arraysPerCore.value * chip.coresPerTile.value),
  chip: (target) => 1 / arraysPerChip(target),
};

/** Arrays that one chip has. */
export function arraysPerChip({ chip }: HybridTarget): number {
  return chip.tiles.value * chip.coresPerTile.value * chip.arraysPerCore.value;
}

/** A component's figures for this target, with its source: what the file's table or line says. */
export interface Figures {
  /** Joules per action. */
  readonly energy: number;
  /** Watts while busy, and always. */
  readonly power: number;
  readonly leakage: number;
  readonly area: number;
  /** Instances per array. */
  readonly instances: number;
  readonly source: string;
}

/**
 * @throws UserError when a table by converter bits has no entry for the target's bits
 */
export function componentFigures(part: Component, target: HybridTarget): Figures {
  const entry = tableEntry(part, target);
  const energy = entry?.energy ?? part.energy;
  const power = entry?.power ?? part.power;
  const area = entry?.area ?? part.area;
  const line = part.line;
  const lineEnergy =
    line === undefined
      ? 0
      : (target.array.columns.value * line.perCell.value + line.fixed.value) *
        line.swing.value ** 2;
  return {
    energy: energy?.value ?? lineEnergy,
    power: power?.value ?? 0,
    leakage: part.leakage?.value ?? 0,
    area: area?.value ?? 0,
    instances: part.count.value * OWNERS_PER_ARRAY[part.per](target),
    source: (energy ?? power ?? line?.perCell ?? area ?? part.count).source,
  };
}

/** Area of one array, with its share of what it belongs to. */
export const arrayArea = (target: HybridTarget): number =>
  target.components.reduce((sum, part) => {
    const { instances, area } = componentFigures(part, target);
    return sum + instances * area;
  }, 0);

function tableEntry(part: Component, target: HybridTarget) {
  if (part.byAdcBits === undefined) return undefined;
  const bits = target.adc.bits.value;
  const entry = part.byAdcBits.find((candidate) => candidate.bits.value === bits);
  if (entry === undefined) {
    const known = part.byAdcBits.map((candidate) => candidate.bits.value).join(", ");
    throw new UserError(`no figures for a converter of ${bits} bits`, {
      place: `target ${target.name}: component "${part.name}"`,
      remedy: `Use ${known} bits, or add an entry with its source to byAdcBits.`,
    });
  }
  return entry;
}
