/**
 * The schema of a memory device: what programming, time, reading and faults do to a conductance, as
 * data with a source for every figure. The formulas that read it are in `deviceModel.ts`; drawing
 * random numbers from them is the chip simulator's work, not this folder's.
 */
import { z } from "zod";
import { coefficients, figure } from "./figure.ts";

/** What a fitted curve takes: x in the notation of its paper. */
export const CURVE_ARGUMENTS = [
  "g/gMax",
  "ln g/gMax",
  "g/uS",
  "log10 g/uS",
  "log10 g/S",
  "ln t/s",
] as const;

const piece = z.strictObject({
  /** This piece holds while g/gMax is below the number; the last piece omits it. */
  below: z.number().positive().optional(),
  argument: z.enum(CURVE_ARGUMENTS),
  /** polynomial: sum of c_k x^k. power: c_0 x^c_1 (c_1 taken in the file's unit). */
  form: z.enum(["polynomial", "power"]),
  coefficients: z.array(z.number()).min(1),
  min: z.number().optional(),
  max: z.number().optional(),
});

const curve = <U extends "S" | "1">(unit: U, names: [string, ...string[]]) =>
  z.strictObject({
    unit: z.enum(names).meta({ description: `SI unit ${unit}, prefixes allowed` }),
    source: z.string().min(1),
    pieces: z.array(piece).min(1),
  });

/** A curve whose result is a conductance; coefficients, min and max are in its unit. */
const conductanceCurve = curve("S", ["S", "mS", "uS", "nS"]);
/** A curve whose result has no dimension. */
const ratioCurve = curve("1", ["1"]);

const programming = z.strictObject({
  distribution: z.enum(["normal", "uniform", "log-normal"]).meta({
    description: "uniform: sigma is the half width; log-normal: sigma is that of ln g",
  }),
  /**
   * Spread of the conductance at one or more times after programming. Between times it is
   * interpolated linearly in ln t; before the first and after the last it is held.
   */
  spread: z
    .array(
      z.strictObject({
        time: figure("s"),
        sigma: z.union([conductanceCurve, ratioCurve]).meta({
          description: "a dimensionless sigma multiplies the target conductance",
        }),
      }),
    )
    .min(1),
  verify: z
    .strictObject({
      acceptance: figure("S").optional(),
      acceptanceRatio: figure("1", { min: 0 }).optional(),
      pulses: figure("1", { min: 0 }).meta({ description: "mean pulses per cell" }),
      convergence: figure("1", { min: 0, max: 1 }),
      residualPerRound: figure("1", { min: 0, max: 1 }).optional(),
    })
    .optional(),
});

const time = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("none") }),
  /** g(t) = g (t/t0)^-nu, nu = |mean + spread N|, one draw per device. */
  z.strictObject({
    kind: z.literal("power-law"),
    start: figure("s", { min: 1e-12 }),
    nuMean: ratioCurve,
    nuSpread: ratioCurve,
  }),
  /** g(t) = g + shift(ln t) + spread(ln t) N, one draw per device. */
  z.strictObject({
    kind: z.literal("log-time"),
    shift: conductanceCurve,
    spread: conductanceCurve,
  }),
]);

const read = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("none") }),
  /** sigma = relative g, fresh at each read. */
  z.strictObject({ kind: z.literal("relative"), sigma: figure("1", { min: 0 }) }),
  /** 1/f: sigma = amplitude sqrt(ln((t + tr) / (2 tr))); a ratio amplitude multiplies g. */
  z.strictObject({
    kind: z.literal("flicker"),
    amplitude: z.union([conductanceCurve, ratioCurve]),
    readTime: figure("s", { min: 1e-15 }),
  }),
]);

/** Two levels of some cells, between which each goes back and forth by itself: telegraph noise. */
const telegraph = z.strictObject({
  amplitude: z.union([conductanceCurve, ratioCurve]).meta({
    description: "distance of the two levels; a dimensionless one multiplies the conductance",
  }),
  share: figure("1", { min: 0, max: 1 }).meta({ description: "share of the cells that have it" }),
  /** Mean times in the level of higher and of lower conductance. */
  highTime: figure("s", { min: 1e-15 }),
  lowTime: figure("s", { min: 1e-15 }),
});

const currentVoltage = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("linear") }),
  /** I = G (V + k3 V^3). */
  z.strictObject({ kind: z.literal("cubic"), k3: figure("1"), maxVoltage: figure("V") }),
  /** I = G V + a2(log10 G) V^2 + a3(log10 G) V^3, a2 in A/V^2, a3 in A/V^3. */
  z.strictObject({
    kind: z.literal("milo"),
    a2: coefficients("1"),
    a3: coefficients("1"),
    maxVoltage: figure("V"),
    trustedFrom: figure("S"),
    trustedTo: figure("S"),
  }),
]);

const stuck = z.strictObject({
  low: figure("1", { min: 0, max: 1 }),
  high: figure("1", { min: 0, max: 1 }),
  random: figure("1", { min: 0, max: 1 }),
  /** Shares of rows and of columns whose cells are all stuck low. */
  rows: figure("1", { min: 0, max: 1 }).optional(),
  columns: figure("1", { min: 0, max: 1 }).optional(),
});

/** Row: stored -1, 0, +1. Column: read -1, 0, +1. Each row sums to one. */
const sensing = z.strictObject({
  errors: z.array(z.array(z.number().min(0).max(1)).length(3)).length(3),
  source: z.string().min(1),
});

export const deviceSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z.string().regex(/^[a-z0-9-]+$/, "a name has lower-case letters, digits and dashes"),
    kind: z.enum(["rram", "pcm", "generic", "ideal"]),
    summary: z.string().min(1),
    references: z.record(z.string(), z.string().min(1)),
    /** The window the figures were taken in; other windows scale with gMax. */
    window: z.strictObject({ gMin: figure("S"), gMax: figure("S", { min: 1e-12 }) }),
    programming,
    time,
    read,
    /** Besides the noise of `read`; its mean is what was programmed. */
    telegraph: telegraph.optional(),
    currentVoltage,
    stuck,
    sensing: sensing.optional(),
    /** Pulses that a cell stands; null where the papers on the device do not say. */
    endurance: figure("count").nullable().default(null),
  })
  .superRefine((device, context) => {
    if (device.window.gMin.value >= device.window.gMax.value) {
      context.addIssue({
        code: "custom",
        path: ["window", "gMin", "value"],
        message: `expected less than gMax (${device.window.gMax.value} S)`,
      });
    }
    for (const [row, errors] of (device.sensing?.errors ?? []).entries()) {
      const sum = errors.reduce((a, b) => a + b, 0);
      if (Math.abs(sum - 1) > 1e-9) {
        context.addIssue({
          code: "custom",
          path: ["sensing", "errors", row],
          message: `expected probabilities that sum to 1, got ${sum}`,
        });
      }
    }
  });

export type Device = z.output<typeof deviceSchema>;
export type Curve = z.output<typeof conductanceCurve> | z.output<typeof ratioCurve>;
export type CurveArgument = (typeof CURVE_ARGUMENTS)[number];
