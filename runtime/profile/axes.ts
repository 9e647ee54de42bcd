/** Reads what is to be swept: `array=64,128,256`, `adc=5..9`, `wire.rowSegment=0.5..3..0.5`. */
import { UserError } from "../../compiler/errors.ts";
import type { Figures } from "../files/targetFigures.ts";

/** A figure by name, and the values it takes. */
export interface Axis {
  readonly name: string;
  readonly values: readonly number[];
}

const MOST_VALUES = 1000;
const MOST_CONFIGURATIONS = 100_000;

const fault = (text: string, message: string): UserError =>
  new UserError(message, {
    place: `--sweep ${text}`,
    remedy: "Write NAME=VALUES: array=64,128,256 or adc=5..9 or wire.rowSegment=0.5..3..0.5.",
  });

/** One number, or a range with its last value; the step is 1 unless a third number gives it. */
function valuesOf(part: string, text: string): number[] {
  const numbers = part.split("..").map((n) => (n.trim() === "" ? Number.NaN : Number(n)));
  const [from, to, step = 1] = numbers as [number, number?, number?];
  if (numbers.length > 3 || numbers.some((n) => !Number.isFinite(n))) {
    throw fault(text, `"${part}" is no number and no range of numbers`);
  }
  if (to === undefined) return [from];
  if (!(step > 0) || to < from) throw fault(text, `the range "${part}" has no values`);
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  if (count > MOST_VALUES) throw fault(text, `the range "${part}" has ${count} values`);
  // Rounded to what was written: 0.1 + 2 x 0.1 is 0.3 to a person.
  return Array.from({ length: count }, (_, i) => Number((from + i * step).toPrecision(12)));
}

/**
 * Axes from texts, each one or several of `NAME=VALUES`.
 * @throws UserError when a text is not of this form, or a name comes twice
 */
export function parseAxes(texts: readonly string[]): Axis[] {
  const axes = texts.flatMap((text) => text.trim().split(/\s+/)).map((text): Axis => {
    const [, name, list] = /^([A-Za-z][\w.]*)=(.+)$/.exec(text) ?? [];
    if (name === undefined || list === undefined) {
      throw fault(text, `"${text}" names no figure and values`);
    }
    return { name, values: [...new Set(list.split(",").flatMap((part) => valuesOf(part, text)))] };
  });
  axes.forEach(({ name }, i) => {
    if (axes.findIndex((other) => other.name === name) !== i) {
      throw fault(name, `"${name}" is swept twice`);
    }
  });
  return axes;
}

/**
 * Every combination, the last axis fastest.
 * @throws UserError when there are more of them than anybody can wait for
 */
export function combinations(axes: readonly Axis[]): Figures[] {
  const count = axes.reduce((product, { values }) => product * values.length, 1);
  if (count > MOST_CONFIGURATIONS) {
    throw new UserError(`${count} configurations are more than ${MOST_CONFIGURATIONS}`, {
      place: "--sweep", remedy: "Sweep fewer figures at a time, or in coarser steps.",
    });
  }
  return axes.reduce<Figures[]>((all, { name, values }) =>
    all.flatMap((figures) => values.map((value) => ({ ...figures, [name]: value }))), [{}]);
}
