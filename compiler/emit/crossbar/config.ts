/**
 * What `crossbars.json` holds: the crossbars of an artifact as data that a person can read and any
 * program can decode without this one. The conductances lie beside it in a safetensors file, under
 * the names given here. Quantities carry their unit in their name, all in SI.
 *
 * To read a weight back (group, input, output of a tile, see `layout` and the spans of the tile):
 *
 *   row    = (groupInTile inputs.count + inputInTile) layout.rowsPerInput + pairRow
 *   column = ((groupInTile outputs.count + outputInTile) slices + s) pairColumns + pairColumn
 *   w      = scales[group][output] gain (sum_s significance[s] x_s - zero)
 *   x_s    = (g+ - g-) / (gMax - gMin), or (g - gMin) / (gMax - gMin) with an offset
 *
 * A pair's negative cell is the next row (differential-rows: pairRow 1, pairColumns 1) or the next
 * column (differential-columns: pairColumn 1, pairColumns 2).
 */
import { z } from "zod";
import { CODINGS } from "../../../targets/schema.ts";
import { UserError } from "../../errors.ts";

export const CROSSBARS_FORMAT = "crosstie-crossbars";
export const CROSSBARS_VERSION = 1;

const finite = z.number().refine(Number.isFinite, "a finite number");
const positive = finite.refine((x) => x > 0, "a number > 0");
const notNegative = finite.refine((x) => x >= 0, "a number >= 0");
const count = z.number().int().min(0);
const number = z.number().int().min(1);
const span = z.strictObject({ start: count, count: number });

const tileSchema = z.strictObject({
  id: z.string().min(1),
  /** Tensor of the conductances, [rows, columns]; tiles of equal content share one. */
  conductances: z.string().min(1),
  /** Cells used, from the corner next to the drivers and the converters. */
  rows: number,
  columns: number,
  groups: span,
  /** Within each group. */
  inputs: span,
  outputs: span,
});

const scheduleSchema = z.strictObject({
  arrayReads: notNegative,
  conversions: notNegative,
  cycleSecond: notNegative,
  intervalSecond: notNegative,
  latencySecond: notNegative,
  /** The interval as a sum with its numbers put in. */
  formula: z.string(),
});

const blockSchema = z.strictObject({
  id: z.string().min(1),
  /** ONNX nodes, in order. */
  nodes: z.array(z.string()),
  weights: z.strictObject({ name: z.string(), shape: z.array(count) }),
  /** The weights as `groups` matrices: flat index = group, input, output times their strides. */
  matrix: z.strictObject({
    groups: number,
    rowsK: number,
    colsN: number,
    strides: z.strictObject({ group: count, input: count, output: count }),
  }),
  /** Tensor of the scales, [groups, colsN]: the weight that a full set of cells stands for. */
  scales: z.string().min(1),
  layout: z.strictObject({
    rowsPerInput: number, columnsPerOutput: number, slices: number,
    inputsPerTile: number, outputsPerTile: number, signs: number,
  }),
  grid: z.strictObject({
    groupTiles: number, rowTiles: number, columnTiles: number, groupsPerTile: number,
  }),
  schedule: scheduleSchema,
  /** The block whose tiles these are too, where it has the same weights. */
  sharedWith: z.string().optional(),
  /** Copies of all tiles, which share the products of an inference; one unless given. */
  replicas: number.optional(),
  /** In the order packs of groups, row tiles, column tiles. */
  tiles: z.array(tileSchema).min(1),
});

const encodingSchema = z.strictObject({
  scheme: z.enum(["differential-rows", "differential-columns", "offset"]),
  sides: z.enum(["one", "two"]),
  slices: number,
  bits: z.union([number, z.literal("continuous")]),
  subtract: z.enum(["analog", "digital"]),
  perColumnScale: z.boolean(),
  significance: z.array(finite).min(1),
  gain: finite,
  zero: finite,
  referenceSiemens: z.array(notNegative).min(1),
  idleSiemens: z.array(notNegative).min(1),
});

const configSchema = z.strictObject({
  format: z.literal(CROSSBARS_FORMAT),
  version: z.literal(CROSSBARS_VERSION),
  target: z.strictObject({
    name: z.string(),
    evidence: z.enum(["measured-silicon", "simulated-design", "derived"]),
  }),
  array: z.strictObject({
    rows: number,
    columns: number,
    /** Rows driven in one read. */
    rowsAtOnce: number,
    rowSegmentOhm: notNegative,
    columnSegmentOhm: notNegative,
    sourceOhm: notNegative,
    senseOhm: notNegative,
  }),
  cell: z.strictObject({
    device: z.string(), gMinSiemens: notNegative, gMaxSiemens: positive,
  }),
  encoding: encodingSchema,
  input: z.strictObject({
    bits: number,
    coding: z.enum(CODINGS),
    sign: z.enum(["sign-magnitude", "twos-complement", "unsigned"]),
    sliceBits: number,
    phases: number,
    phaseBits: number.optional(),
    readVolt: finite,
    readSecond: positive,
  }),
  converter: z.strictObject({
    bits: number,
    /** Converted columns that take turns on one converter. */
    share: number,
    range: z.strictObject({
      policy: z.enum(["max", "calibrated", "granular"]), percentile: finite.optional(),
    }),
    gainSpread: notNegative,
    offsetSpread: notNegative,
    /** Converters by successive approximation; an ideal quantiser unless given. */
    successiveApproximation: z.strictObject({
      /** Of the smallest capacitor, relative; of the comparator, relative to the reference. */
      capacitorSpread: notNegative,
      comparatorOffset: notNegative,
      /** Of the amplifier behind the capacitors; without end unless given. */
      openLoopGain: positive.optional(),
    }).optional(),
  }),
  blocks: z.array(blockSchema),
});

/** What `crossbars.json` holds: one configuration, or one per target of a mixed placement. */
export const crossbarsSchema = configSchema.extend({
  others: z.array(configSchema).optional(),
});

export type CrossbarConfig = z.output<typeof configSchema>;
export type CrossbarsFile = z.output<typeof crossbarsSchema>;
/** The configurations of all targets. */
export const configsOf = ({ others = [], ...first }: CrossbarsFile): CrossbarConfig[] =>
  [first, ...others];

export type CrossbarBlock = z.output<typeof blockSchema>;
export type CrossbarTile = z.output<typeof tileSchema>;

/** The published JSON schema; `compiler/artifact/crossbars.schema.json` holds exactly this. */
export const crossbarsJsonSchema = (): unknown =>
  ({ title: "crosstie crossbars", ...z.toJSONSchema(crossbarsSchema, { io: "input" }) });

/**
 * Checks the parsed contents of a `crossbars.json`.
 * @param place the file, for messages
 * @throws UserError when it is of another version or not what the schema says
 */
export function parseCrossbars(json: unknown, place: string): CrossbarsFile {
  const remedy = "Compile the model again with crosstie compile.";
  const version = (json as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version !== CROSSBARS_VERSION) {
    throw new UserError(
      `the crossbars have version ${version}, this crosstie reads ${CROSSBARS_VERSION}`,
      { place, remedy });
  }
  const parsed = crossbarsSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || "the document";
  throw new UserError(`is no crossbar configuration (${where}: ${issue?.message})`, {
    place, remedy,
  });
}
