/**
 * What one product of one array takes on a target: how often rows are pulsed, columns converted,
 * and for how long. One rule per input coding, in a table; the cost model multiplies the counts by
 * component energies, the chip simulator follows the same counts, so they cannot disagree.
 *
 * Sources: bit-serial inputs after ISAAC (Shafiee et al., ISCA 2016); integration of bit pulses in
 * one or two phases after NeuRRAM (Wan et al., Nature 608, 2022, Methods); pulse widths after the
 * 64-core PCM chip (Le Gallo et al., Nature Electronics 6, 2023).
 */
import type { Coding, HybridTarget } from "./schema.ts";
import type { Second } from "./units.ts";

/** Counts and times of one product of one array. */
export interface Schedule {
  /** Pulses that each driven row gets. */
  readonly rowPulses: number;
  /** Reads of the array: pulses times groups of rows. */
  readonly arrayReads: number;
  /** Per converted column. */
  readonly samples: number;
  readonly integrations: number;
  readonly conversions: number;
  readonly adcSteps: number;
  /** Sum over pulses of their full length, in units of `input.readTime`. */
  readonly pulseUnits: number;
  /** Time of one pipeline stage. */
  readonly cycle: Second;
  /** Time between the starts of two products. */
  readonly interval: Second;
  /** Time from the first input to the last output of one product. */
  readonly latency: Second;
  /** The interval as a sum with its numbers put in. */
  readonly formula: string;
}

interface Reads {
  readonly rowPulses: number;
  readonly reads: number;
  readonly samples: number;
  readonly integrations: number;
  readonly conversions: number;
  readonly adcSteps: number;
  readonly pulseUnits: number;
  /** Array time and converter time of one stage, and stages per product. */
  readonly readTime: number;
  readonly convertTime: number;
  readonly stages: number;
}

/** Bits that reach the rows: the sign of a sign-magnitude value is the polarity of the pulse. */
export function inputMagnitudeBits(target: HybridTarget): number {
  const { bits, sign } = target.input;
  return sign === "sign-magnitude" ? Math.max(1, bits.value - 1) : bits.value;
}

/** Magnitude bits of each integration: one group, or two once `phaseBits` is exceeded. */
export function integrationGroups(magnitudeBits: number, phaseBits: number): number[] {
  if (magnitudeBits <= phaseBits) return [magnitudeBits];
  return [Math.ceil(magnitudeBits / 2), Math.floor(magnitudeBits / 2)];
}

const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);

/** Columns that reach a converter: half of them where a pair is subtracted before it. */
export function convertedColumns(target: HybridTarget, columns: number): number {
  const { scheme, subtract } = target.encoding;
  return scheme === "differential-columns" && subtract === "analog" ? columns / 2 : columns;
}

/** Converter time for the columns that take turns on one converter. */
function conversionTime(target: HybridTarget, columns: number): number {
  const { adc } = target;
  const steps = adc.timeOf === "step" ? adc.bits.value : 1;
  return Math.min(adc.share.value, columns) * steps * adc.time.value;
}

type Rule = (target: HybridTarget, columns: number) => Reads;

/** One read and one conversion per slice of the input. */
const perSlice: Rule = (target, columns) => {
  const slices = Math.ceil(inputMagnitudeBits(target) / target.input.sliceBits.value);
  return {
    rowPulses: slices,
    reads: slices,
    samples: slices,
    integrations: 0,
    conversions: slices,
    adcSteps: slices * target.adc.bits.value,
    pulseUnits: slices,
    readTime: target.input.readTime.value,
    convertTime: conversionTime(target, columns),
    stages: slices,
  };
};

/** The whole value in one pulse that lasts `units` read times, one conversion. */
const onePulse =
  (units: (target: HybridTarget) => number): Rule =>
  (target, columns) => ({
    rowPulses: 1,
    reads: 1,
    samples: 1,
    integrations: 0,
    conversions: 1,
    adcSteps: target.adc.bits.value,
    pulseUnits: units(target),
    readTime: units(target) * target.input.readTime.value,
    convertTime: conversionTime(target, columns),
    stages: 1,
  });

const RULES: Record<Coding, Rule> = {
  "bit-serial": perSlice,
  /** Bit k is pulsed once and integrated 2^k times; later groups convert only what is left. */
  "bit-serial-integrated": (target, columns) => {
    const magnitude = inputMagnitudeBits(target);
    const groups = integrationGroups(magnitude, target.input.phaseBits?.value ?? magnitude);
    const integrations = sum(groups.map((bits) => 2 ** bits - 1));
    const out = target.adc.bits.value;
    const converted = groups.map((_, i) => Math.max(0, out - sum(groups.slice(0, i))));
    const perStep = target.adc.timeOf === "step" ? target.adc.time.value : 0;
    const perConversion = target.adc.timeOf === "step" ? 0 : target.adc.time.value;
    const turns = Math.min(target.adc.share.value, columns);
    return {
      rowPulses: magnitude,
      reads: magnitude,
      samples: magnitude,
      integrations,
      conversions: groups.length,
      adcSteps: sum(converted),
      pulseUnits: magnitude,
      readTime: integrations * target.input.readTime.value +
        groups.length * target.input.phaseTime.value,
      convertTime: turns * (sum(converted) * perStep + groups.length * perConversion),
      stages: 1,
    };
  },
  "pulse-width": onePulse((target) => 2 ** inputMagnitudeBits(target)),
  amplitude: onePulse(() => 1),
  /** Rows are read as stored words; the input bits meet them in logic beside the array. */
  digital: perSlice,
};

const ns = (seconds: number): string => `${Number((seconds * 1e9).toPrecision(4))} ns`;

/**
 * Counts and times of one product of one array.
 * @param columns columns that are converted; all that the array has unless stated
 * @param rows rows that hold weights; the others are read all the same, but not in word-line mode
 */
export function readSchedule(
  target: HybridTarget,
  columns: number = convertedColumns(target, target.array.columns.value),
  rows: number = target.array.rows.value,
): Schedule {
  const { array, input, pipeline } = target;
  const one = RULES[input.coding](target, columns);
  const driven = target.mode === "wordline" ? rows : array.rows.value;
  const rowGroups = Math.ceil(driven / (array.rowsAtOnce?.value ?? array.rows.value));
  const repeats = rowGroups * input.phases.value;
  // An integrating rule has put the phase time where it belongs, once per integration.
  const phaseTime = input.coding === "bit-serial-integrated" ? 0 : input.phaseTime.value;
  const overlaps = pipeline.overlap;
  const cycle = overlaps
    ? Math.max(one.readTime, one.convertTime)
    : one.readTime + one.convertTime;
  const interval = repeats * (one.stages * cycle + phaseTime);
  const joined = overlaps ? "max" : "sum";
  return {
    rowPulses: one.rowPulses * input.phases.value,
    arrayReads: one.reads * repeats,
    samples: one.samples * repeats,
    integrations: one.integrations * repeats,
    conversions: one.conversions * repeats,
    adcSteps: one.adcSteps * repeats,
    pulseUnits: one.pulseUnits * input.phases.value,
    cycle: cycle as Second,
    interval: interval as Second,
    latency: (interval + pipeline.stages.value * cycle) as Second,
    formula:
      `${rowGroups} row groups x ${input.phases.value} phases x (${one.stages} stages x ` +
      `${joined}(read ${ns(one.readTime)}, convert ${ns(one.convertTime)}) + ${ns(phaseTime)})`,
  };
}
