/**
 * The schema of a target file: everything the compiler, the cost model and the chip simulator know
 * about a piece of hardware. Data only: what the figures mean together is in `schedule.ts` (one
 * array read) and in the compiler's cost model. One preset is one file that satisfies this schema.
 *
 * Structure: section 5.1 of the project's crossbar reference (count actions, multiply by component
 * energies), with the hierarchy chip > tile > core > array that ISAAC (ISCA 2016) made common.
 */
import { z } from "zod";
import { figure } from "./figure.ts";

const positiveCount = figure("count", { min: 1 });

/** How many instances of a component the chip has, through what it is attached to. */
export const OWNERS = [
  "cell",
  "row",
  "column",
  "adc",
  "array",
  "core",
  "tile",
  "chip",
] as const;

/**
 * What is counted during one product of one array, to be multiplied by an energy per action.
 * `row-pulse`: one row driven for one input slice. `sample`, `integration`, `adc-step`,
 * `conversion`: per used column. `sense`: one cell pair read digitally. `product`: once.
 */
export const ACTIONS = [
  "row-pulse",
  "sample",
  "integration",
  "adc-step",
  "conversion",
  "array-read",
  "sense",
  "product",
  "input-byte",
  "output-byte",
] as const;

const bitTable = z
  .array(
    z.strictObject({
      bits: positiveBits(),
      energy: figure("J").optional(),
      power: figure("W").optional(),
      area: figure("m2").optional(),
    }),
  )
  .min(1);

function positiveBits() {
  return figure("bit", { min: 1, max: 32 });
}

const component = z
  .strictObject({
    name: z.string().min(1),
    per: z.enum(OWNERS),
    count: figure("1", { min: 0 }).meta({ description: "instances per owner, may be a fraction" }),
    /** Energy per action and the action it belongs to; `count` matters for power and area. */
    action: z.enum(ACTIONS).optional(),
    energy: figure("J").optional(),
    /** A line charged through a swing: energy = (columns perCell + fixed) swing^2. */
    line: z
      .strictObject({ perCell: figure("F"), fixed: figure("F"), swing: figure("V") })
      .optional(),
    /** Drawn while the owner is busy. */
    power: figure("W").optional(),
    area: figure("m2").optional(),
    leakage: figure("W").optional(),
    /** Replaces energy, power or area by the entry for the converter's bits. */
    byAdcBits: bitTable.optional(),
  })
  .superRefine((part, context) => {
    const tabled = (part.byAdcBits ?? []).some((entry) => entry.energy !== undefined);
    const perAction = part.energy !== undefined || part.line !== undefined || tabled;
    if (perAction !== (part.action !== undefined)) {
      context.addIssue({
        code: "custom",
        path: ["action"],
        message: perAction
          ? "expected the action that the energy is spent on, got nothing"
          : "expected an energy, a line or a table for the action, got none",
      });
    }
    if (part.energy !== undefined && part.line !== undefined) {
      context.addIssue({
        code: "custom",
        path: ["line"],
        message: "expected either an energy or a line, got both",
      });
    }
  });

const array = z.strictObject({
  rows: positiveCount,
  columns: positiveCount,
  /** Rows driven in one read, all of them unless given: fewer is the word-line mode. */
  rowsAtOnce: positiveCount.optional(),
  /** conductance: E[V^2] sum(G) t from real data. components: only what is listed below. */
  energy: z.enum(["conductance", "components"]),
});

const cell = z.strictObject({
  /** A device file: a name in targets/devices, or a path relative to this file. */
  device: z.string().min(1),
  gMin: figure("S"),
  gMax: figure("S", { min: 1e-12 }),
  /** Bits that one cell holds, or "continuous" for a level as fine as programming allows. */
  bits: z.union([figure("bit", { min: 1, max: 8 }), z.literal("continuous")]),
});

const encoding = z.strictObject({
  /** Where the sign goes: a pair of cells on two rows, on two columns, or an offset. */
  scheme: z.enum(["differential-rows", "differential-columns", "offset"]),
  /** one: the other cell of a pair stays at gMin. two: both move about the middle. */
  sides: z.enum(["one", "two"]),
  /** Cells (or pairs) that share a weight, least significant first. */
  slices: figure("count", { min: 1, max: 32 }),
  /** analog: the currents of a pair meet before one conversion. digital: each is converted. */
  subtract: z.enum(["analog", "digital"]),
  perColumnScale: z.boolean(),
});

/** How an input value becomes voltages on the rows. The rules are in `schedule.ts`. */
export const CODINGS = [
  "bit-serial",
  "bit-serial-integrated",
  "pulse-width",
  "amplitude",
  "digital",
] as const;

const input = z.strictObject({
  bits: positiveBits(),
  coding: z.enum(CODINGS),
  /** sign-magnitude: bits - 1 magnitude bits and rows of either polarity. */
  sign: z.enum(["sign-magnitude", "twos-complement", "unsigned"]),
  /** Bits per row pulse. */
  sliceBits: positiveBits(),
  readVoltage: figure("V", { min: 1e-6 }),
  /** One array read, one step of a pulse width, or one integration. */
  readTime: figure("s", { min: 1e-15 }),
  /** Reads of a whole value (positive and negative inputs and cells apart, say). */
  phases: positiveCount,
  /** More magnitude bits than this are split into two integrations and two conversions. */
  phaseBits: positiveBits().optional(),
  /** Settling and reset once per phase. */
  phaseTime: figure("s"),
});

/**
 * What makes a converter by successive approximation other than ideal; what is left out is ideal.
 * Capacitor k of its ladder is 2^k + capacitorSpread 2^(k/2) N units (Spear et al., IEEE JXCDC 9,
 * 2023; Pelgrom's law: the spread of a capacitor grows with the root of its area).
 */
const successiveApproximation = z.strictObject({
  /** Standard deviation of the smallest capacitor, relative to it: normal, so it must be small. */
  capacitorSpread: figure("1", { min: 0, max: 0.25 }).optional(),
  /** Standard deviation of the comparator's offset, relative to the reference voltage. */
  comparatorOffset: figure("1", { min: 0 }).optional(),
  /** Open-loop gain of the amplifier behind the capacitors, a ratio of voltages (not decibels). */
  openLoopGain: figure("1", { min: 1 }).optional(),
});

const adc = z.strictObject({
  bits: positiveBits(),
  /** Columns that take turns on one converter. */
  share: positiveCount,
  /** Does `time` hold per conversion or per bit step of one. */
  timeOf: z.enum(["conversion", "step"]),
  time: figure("s"),
  range: z.strictObject({
    policy: z.enum(["max", "calibrated", "granular"]),
    percentile: figure("1", { min: 0, max: 1 }).optional(),
  }),
  /** Spread of gain and offset between converters, relative to full scale. */
  gainSpread: figure("1", { min: 0 }).optional(),
  offsetSpread: figure("1", { min: 0 }).optional(),
  /** An ideal quantiser unless given. */
  successiveApproximation: successiveApproximation.optional(),
});

const wire = z.strictObject({
  rowSegment: figure("ohm"),
  columnSegment: figure("ohm"),
  sourceResistance: figure("ohm").optional(),
  senseResistance: figure("ohm").optional(),
});

/** How an energy block on this chip finds its minimum. */
const settle = z.strictObject({
  /** analog: voltages relax by themselves. converters: a digital sweep between products. */
  domain: z.enum(["analog", "converters"]),
  /** Time of one relaxation (analog) or of the digital part of one sweep (converters). */
  time: figure("s"),
  sweeps: positiveCount,
});

const noise = z.strictObject({
  temperature: figure("K"),
  bandwidth: figure("Hz"),
  /** Fresh at every read, relative to the cell's conductance, on top of the device's. */
  read: figure("1", { min: 0 }),
});

const write = z.strictObject({
  pulses: figure("1", { min: 0 }),
  pulseVoltage: figure("V"),
  pulseTime: figure("s"),
  verifyTime: figure("s"),
  /** Cells of an array written at once. */
  parallel: positiveCount,
  /** Inferences that one programming serves: programming energy is divided by it. */
  inferences: positiveCount,
});

const chip = z.strictObject({
  tiles: positiveCount,
  coresPerTile: positiveCount,
  arraysPerCore: positiveCount,
});

const pipeline = z.strictObject({
  /** Slices of the next product start before this one has left: latency is a fill, then a rate. */
  overlap: z.boolean(),
  /** Array reads that a product spends in the pipe beyond its own. */
  stages: figure("count"),
});

/** Between the digital side and an array. */
const link = z.strictObject({
  energy: figure("J/B"),
  bandwidth: figure("B/s"),
  latency: figure("s"),
});

/** Roofline of the digital side: t = max(ops / peak, bytes / bandwidth) + launches launchTime. */
const digital = z.strictObject({
  precision: z.enum(["int8", "int16", "fp16", "fp32"]),
  peak: figure("op/s"),
  bandwidth: figure("B/s"),
  launchTime: figure("s"),
  energyPerOp: figure("J/op"),
  energyPerByte: figure("J/B"),
  idlePower: figure("W"),
  area: figure("m2"),
});

/** Another way to run the same chip: figures that it lets software choose, by their paths. */
const operatingPoint = z.record(
  z.string(), z.strictObject({ value: z.number(), source: z.string().min(1) }),
).meta({ description: "path of a figure -> its value, in the unit that the file gives it in" });

const common = {
  $schema: z.string().optional(),
  name: z.string().regex(/^[a-z0-9-]+$/, "a name has lower-case letters, digits and dashes"),
  summary: z.string().min(1),
  /** How far to trust it: a chip that was measured, a design on paper, or figures put together. */
  evidence: z.enum(["measured-silicon", "simulated-design", "derived"]),
  /** key -> full citation; every figure's source begins with a key. */
  references: z.record(z.string(), z.string().min(1)),
  process: figure("m").meta({ description: "technology node" }),
  digital,
};

/**
 * What software may start and so allocate (CIM-MLC, Qu et al., ASPLOS 2024): a whole core with all
 * of its arrays, one crossbar, or single word lines of one, so that rows without weights take no
 * time.
 */
export const MODES = ["core", "crossbar", "wordline"] as const;

const hybridSchema = z
  .strictObject({
    ...common,
    kind: z.literal("hybrid"),
    mode: z.enum(MODES),
    array,
    cell,
    encoding,
    input,
    adc,
    wire,
    settle,
    noise,
    write,
    chip,
    pipeline,
    link,
    leakage: figure("W").meta({ description: "of the whole analog part while idle" }),
    components: z.array(component).min(1),
    operatingPoints: z.record(z.string(), operatingPoint).optional(),
  })
  .superRefine((target, context) => {
    const fault = (path: string[], message: string) =>
      context.addIssue({ code: "custom", path, message });
    const { cell, array, encoding, input } = target;
    if (cell.gMin.value >= cell.gMax.value) {
      fault(["cell", "gMin", "value"], `expected less than gMax (${cell.gMax.value} S)`);
    }
    if ((array.rowsAtOnce?.value ?? 1) > array.rows.value) {
      fault(["array", "rowsAtOnce", "value"], `expected at most rows (${array.rows.value})`);
    }
    if ((target.mode === "wordline") !== (array.rowsAtOnce !== undefined)) {
      fault(["mode"], target.mode === "wordline"
        ? "expected array.rowsAtOnce with word lines" : "expected wordline with array.rowsAtOnce");
    }
    if (cell.bits === "continuous" && encoding.slices.value !== 1) {
      fault(["encoding", "slices", "value"], "expected 1 slice with continuous cells");
    }
    if (encoding.scheme === "differential-rows" && array.rows.value % 2 !== 0) {
      fault(["array", "rows", "value"], "expected an even number of rows for row pairs");
    }
    if (encoding.scheme === "differential-rows" && encoding.subtract === "digital") {
      fault(["encoding", "subtract"], "expected analog: a pair of rows shares its column");
    }
    if (encoding.scheme === "differential-columns" && array.columns.value % 2 !== 0) {
      fault(["array", "columns", "value"], "expected an even number of columns for pairs");
    }
    if (input.sign === "sign-magnitude" && input.bits.value < 2 && input.phases.value > 1) {
      fault(["input", "bits", "value"], "expected at least 2 bits for signed phases");
    }
  });

const digitalSchema = z.strictObject({ ...common, kind: z.literal("digital") });

export const targetSchema = z.discriminatedUnion("kind", [hybridSchema, digitalSchema]);

export type Target = z.output<typeof targetSchema>;
export type HybridTarget = z.output<typeof hybridSchema>;
export type Component = z.output<typeof component>;
export type Action = (typeof ACTIONS)[number];
export type Owner = (typeof OWNERS)[number];
export type Coding = (typeof CODINGS)[number];
