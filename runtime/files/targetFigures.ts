/**
 * Figures of a target replaced by name: what `compile --set` changes once and `profile --sweep`
 * changes many times. Short names stand for the figures that are varied most.
 */
import { UserError } from "../../targets/errors.ts";
import { withFigure } from "../../targets/target.ts";
import { targetFromJson, type LoadedTarget } from "./targetFiles.ts";

/** Short name -> the figures that it sets. */
const SHORT_NAMES: Readonly<Record<string, readonly string[]>> = {
  array: ["array.rows", "array.columns"],
  adc: ["adc.bits"],
  cell: ["cell.bits"],
  input: ["input.bits"],
  slices: ["encoding.slices"],
};

/** Name (short, or a path such as `adc.time`) -> value in the unit that the file gives it in. */
export type Figures = Readonly<Record<string, number>>;

/** The figures that a name sets. */
export const figurePaths = (name: string): readonly string[] => SHORT_NAMES[name] ?? [name];

/**
 * The target with figures replaced; each keeps its source and says what it was swept from.
 * @throws UserError when a name is no figure of the target, or the target cannot be so
 */
export function withFigures(loaded: LoadedTarget, figures: Figures): LoadedTarget {
  if (Object.keys(figures).length === 0) return loaded;
  let json = loaded.json;
  for (const [name, value] of Object.entries(figures)) {
    for (const path of figurePaths(name)) json = withFigure(json, path, value);
  }
  return targetFromJson(json, loaded.path);
}

/** Reads `NAME=VALUE` texts. @throws UserError when one is not of this form */
export function parseFigures(texts: readonly string[], flag: string): Figures {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, number] = /^([A-Za-z][\w.]*)=(\S+)$/.exec(text) ?? [];
      const value = Number(number);
      if (name === undefined || !Number.isFinite(value)) {
        throw new UserError(`"${text}" does not set a figure`, {
          place: flag,
          remedy: `Write ${flag} NAME=NUMBER, such as ${flag} adc=6 or ${flag} wire.rowSegment=2.`,
        });
      }
      return [name, value];
    }),
  );
}
