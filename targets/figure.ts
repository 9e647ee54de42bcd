/**
 * A figure: a number, its unit, and where it comes from. Every number in a target or device file is
 * one of these, so no number can enter without a source. Files may use the prefixed units of
 * `units.ts`; a parsed figure is always in SI.
 */
import { z } from "zod";
import { DIMENSIONS, domainFault } from "./units.ts";
import type { Quantity, Unit } from "./units.ts";

/** A parsed figure, in SI. */
export interface Figure<U extends Unit> {
  readonly value: Quantity<U>;
  readonly unit: U;
  /** `reference-key: place in it`, or `derived: how`, `assumed: why`, `definition: of what`. */
  readonly source: string;
}

/** Several numbers that share unit and source: the coefficients of one fit. */
export interface Coefficients<U extends Unit> {
  readonly values: readonly number[];
  readonly unit: U;
  readonly source: string;
}

export interface FigureBounds {
  /** Smallest and largest allowed value, in the SI unit. */
  readonly min?: number;
  readonly max?: number;
}

const sourceText = z.string().min(1, "a source must not be empty");

const factorOf = (unit: Unit, name: string): number =>
  (DIMENSIONS[unit].units as Readonly<Record<string, number>>)[name] ?? Number.NaN;

const unitNames = (unit: Unit): [string, ...string[]] =>
  Object.keys(DIMENSIONS[unit].units) as [string, ...string[]];

/** Schema of a figure in a unit; converts prefixes to SI and checks the unit's domain. */
export function figure<U extends Unit>(unit: U, bounds: FigureBounds = {}) {
  return z
    .strictObject({
      value: z.number(),
      unit: z.enum(unitNames(unit)).meta({ description: `SI unit ${unit}, prefixes allowed` }),
      source: sourceText,
    })
    .transform((raw, context): Figure<U> => {
      const value = raw.value * factorOf(unit, raw.unit);
      const fault = domainFault(value, unit) ?? outside(value, unit, bounds);
      if (fault !== undefined) {
        context.addIssue({
          code: "custom",
          path: ["value"],
          message: `expected ${fault}, got ${raw.value} ${raw.unit}`,
        });
        return z.NEVER;
      }
      return { value: value as Quantity<U>, unit, source: raw.source };
    });
}

function outside(value: number, unit: Unit, { min, max }: FigureBounds): string | undefined {
  if (min !== undefined && value < min) return `at least ${min} ${unit}`;
  if (max !== undefined && value > max) return `at most ${max} ${unit}`;
  return undefined;
}

/** Schema of fit coefficients; values become SI, signs are free. */
export function coefficients<U extends Unit>(unit: U) {
  return z
    .strictObject({
      values: z.array(z.number()).min(1),
      unit: z.enum(unitNames(unit)).meta({ description: `SI unit ${unit}, prefixes allowed` }),
      source: sourceText,
    })
    .transform(
      (raw): Coefficients<U> => ({
        values: raw.values.map((v) => v * factorOf(unit, raw.unit)),
        unit,
        source: raw.source,
      }),
    );
}

/** Words that a source may begin with besides a key of the file's `references`. */
export const SOURCE_WORDS = ["derived", "assumed", "definition"] as const;

/**
 * Paths of figures whose source names neither a reference of the file nor one of the words above.
 * Walks parsed data: anything with a string `source` inside is a figure.
 */
export function unsourced(
  node: unknown,
  references: Readonly<Record<string, string>>,
  path: readonly (string | number)[] = [],
): { path: (string | number)[]; source: string }[] {
  if (typeof node !== "object" || node === null) return [];
  const faults: { path: (string | number)[]; source: string }[] = [];
  const source = (node as { source?: unknown }).source;
  if (typeof source === "string") {
    const head = source.split(":")[0] ?? "";
    const known = head in references || (SOURCE_WORDS as readonly string[]).includes(head);
    if (!known) faults.push({ path: [...path, "source"], source });
  }
  for (const [key, child] of Object.entries(node)) {
    const step = Array.isArray(node) ? Number(key) : key;
    faults.push(...unsourced(child, references, [...path, step]));
  }
  return faults;
}
