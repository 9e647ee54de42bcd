/**
 * From the sizes that a model declares for its inputs to sizes of the graph: names become symbols
 * (brought to the form that symbols have), unnamed sizes get a symbol of their own.
 */
import { UserError } from "../errors.ts";
import { symbol, type Dim } from "../graph/dim.ts";
import type { OnnxDim } from "./model.ts";

export interface SymbolNote {
  readonly symbol: string;
  /** What the model calls it: "batch_size", or the axis it was made for. */
  readonly from: string;
}

export class Symbols {
  readonly #bind: Readonly<Record<string, number>>;
  readonly #byText = new Map<string, string>();
  readonly #taken = new Set<string>();
  readonly notes: SymbolNote[] = [];

  /** @param bind numbers for symbols, under the model's name for them or ours */
  constructor(bind: Readonly<Record<string, number>>) {
    this.#bind = bind;
  }

  /** The size of axis `axis` of the input `input`. */
  dim(declared: OnnxDim, input: string, axis: number): Dim {
    if (typeof declared === "number") return declared;
    const text = declared ?? `axis ${axis} of ${input}`;
    const name = this.#byText.get(text) ?? this.#make(text, declared, input, axis);
    const bound = this.#bind[name] ?? (declared === undefined ? undefined : this.#bind[declared]);
    return bound ?? symbol(name);
  }

  #make(text: string, declared: OnnxDim, input: string, axis: number): string {
    const wanted = typeof declared === "string" ? declared
      : axis === 0 ? "N" : `${input}_${axis}`;
    let clean = wanted.replaceAll(/[^A-Za-z0-9_]/g, "_");
    if (!/^[A-Za-z_]/.test(clean)) clean = `d${clean}`;
    let name = clean;
    for (let i = 1; this.#taken.has(name); i++) name = `${clean}_${i}`;
    this.#taken.add(name);
    this.#byText.set(text, name);
    this.notes.push({ symbol: name, from: text });
    return name;
  }

  /** @throws UserError when a binding names no size of the model, or gives no size */
  checkBindings(place: string): void {
    const known = new Set(this.notes.flatMap((n) => [n.symbol, n.from]));
    for (const [name, value] of Object.entries(this.#bind)) {
      if (!known.has(name)) {
        const names = this.notes.map((n) => n.symbol).join(", ") || "none";
        throw new UserError(`The model has no size called "${name}"`, {
          place, remedy: `its symbolic sizes are: ${names}`,
        });
      }
      if (!Number.isInteger(value) || value < 0) {
        throw new UserError(`The size ${name} cannot be ${value}`, {
          place, remedy: "give a whole number",
        });
      }
    }
  }
}
