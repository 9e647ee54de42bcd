/**
 * What a command is: its words, its options, one worked example, what it does and how its result
 * reads. The result is a JSON document; `--json` prints it whole, otherwise `render` does. The
 * parsing is commander's, in `program.ts`.
 */
import { UserError } from "../../compiler/errors.ts";
import type { Io } from "./io.ts";

export interface ArgumentSpec {
  /** As commander writes it: `<model>`, `[name]`. */
  readonly name: string;
  readonly description: string;
}

export interface OptionSpec {
  /** As commander writes it: `-o, --out <dir>`. */
  readonly flags: string;
  readonly description: string;
  readonly default?: string;
  readonly choices?: readonly string[];
  readonly repeatable?: boolean;
}

export interface Invocation {
  readonly args: readonly (string | undefined)[];
  readonly options: Options;
  readonly io: Io;
}

export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  readonly arguments?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  /** A command line that works as it stands, and what it shows. */
  readonly example: string;
  /** @throws UserError for what the person can mend */
  run(call: Invocation): Promise<unknown>;
  /** The result for a person. */
  render(result: never): string;
}

/** Typed reading of parsed options. */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>;
  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  required(name: string, flag: string, remedy: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UserError("is missing", { place: flag, remedy });
    return value;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  list(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? (value as string[]) : [];
  }

  /** A whole number within bounds. */
  integer(name: string, flag: string, bounds: { min: number; max?: number }): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    const max = bounds.max ?? Number.MAX_SAFE_INTEGER;
    if (!Number.isInteger(value) || value < bounds.min || value > max || text.trim() === "") {
      throw new UserError(`"${text}" is not a whole number from ${bounds.min} to ${max}`, {
        place: flag,
        remedy: `Give a whole number, such as ${flag} ${bounds.min}.`,
      });
    }
    return value;
  }

  /** A number within bounds; `above` and `below` are themselves out. */
  number(
    name: string, flag: string, bounds: { min?: number; above?: number; below?: number },
  ): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    const { min = -Infinity, above = -Infinity, below = Infinity } = bounds;
    if (text.trim() !== "" && value >= min && value > above && value < below) return value;
    const wanted = [
      ...min > -Infinity ? [`from ${min}`] : [], ...above > -Infinity ? [`above ${above}`] : [],
      ...below < Infinity ? [`below ${below}`] : [],
    ];
    throw new UserError(`"${text}" is not a number ${wanted.join(" and ")}`, {
      place: flag, remedy: `Give such a number, as in ${flag} 0.5.`,
    });
  }

  choice<T extends string>(name: string): T | undefined {
    return this.text(name) as T | undefined;
  }
}
