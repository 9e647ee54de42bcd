/**
 * Words of the text form: names, strings, numbers and sizes, each written and read in one place so
 * that the two cannot drift apart. Not the grammar, which `print.ts` states and `parse.ts` reads.
 */
import { UserError } from "../errors.ts";
import { addDims, mulDims, symbol, type Dim } from "./dim.ts";

/** Characters that a name may have without quotes: those of ONNX names as exporters write them. */
const bareName = /(?:[A-Za-z0-9_./$-]|::)+/y;
const quoted = /"(?:[^"\\\n]|\\.)*"/y;
const number = /-?(?:inf|nan|\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![A-Za-z0-9_.])/y;
const digits = /\d+/y;
const word = /[A-Za-z_][A-Za-z0-9_]*/y;
const blank = /(?:\s|#[^\n]*)*/y;

function matches(pattern: RegExp, text: string): boolean {
  pattern.lastIndex = 0;
  return pattern.exec(text)?.[0].length === text.length;
}

export const showName = (name: string): string =>
  matches(bareName, name) ? name : JSON.stringify(name);

export function showNumber(x: number): string {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : String(x);
}

/** The shortest decimal that rounds to the float32 `x`. */
export function showFloat32(x: number): string {
  if (!Number.isFinite(x) || x === 0) return showNumber(x);
  for (let places = 1; places < 9; places++) {
    const short = Number(x.toPrecision(places));
    if (Math.fround(short) === x) return String(short);
  }
  return String(Number(x.toPrecision(9)));
}

const REMEDY = "Correct it; `compile --print graph` shows the form";

/** Reads a text word by word; every complaint says where, what was expected and what is there. */
export class TextReader {
  readonly #text: string;
  readonly #source: string;
  #at = 0;

  /** @param source how messages call the text: a file name, say */
  constructor(text: string, source: string) {
    this.#text = text;
    this.#source = source;
    this.#skip();
  }

  /** Where the next word starts; `fail` takes it to complain about an earlier word. */
  get position(): number {
    return this.#at;
  }

  #skip(): void {
    blank.lastIndex = this.#at;
    this.#at += blank.exec(this.#text)?.[0].length ?? 0;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined || found === "") return undefined;
    this.#at += found.length;
    this.#skip();
    return found;
  }

  /** The word at a position, as a message shows it. */
  #wordAt(position: number): string {
    const rest = this.#text.slice(position, position + 200);
    const [first] = /^(?:"(?:[^"\\\n]|\\.)*"|(?:[\w./$%@-]|::)+|[^]|)/u.exec(rest) ?? [""];
    const shown = first.length > 40 ? `${first.slice(0, 37)}...` : first;
    return first === "" ? "the end of the text" : JSON.stringify(shown);
  }

  place(position = this.#at): string {
    const before = this.#text.slice(0, position).split("\n");
    return `${this.#source}:${before.length}:${(before.at(-1) as string).length + 1}`;
  }

  /** @throws UserError always: `expected X, got Y` at the position. */
  fail(expected: string, details: { at?: number; actual?: string; remedy?: string } = {}): never {
    const { at = this.#at, actual = this.#wordAt(at) } = details;
    const remedy = details.remedy ?? REMEDY;
    throw new UserError(`expected ${expected}, got ${actual}`, { place: this.place(at), remedy });
  }

  /** @throws UserError always, with a sentence of the caller's. */
  refuse(message: string, at: number): never {
    throw new UserError(message, { place: this.place(at), remedy: REMEDY });
  }

  nextIs(mark: string): boolean {
    return this.#text.startsWith(mark, this.#at);
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** Steps over `mark` if it comes next. */
  skips(mark: string): boolean {
    if (!this.nextIs(mark)) return false;
    this.#at += mark.length;
    this.#skip();
    return true;
  }

  expect(mark: string): void {
    if (!this.skips(mark)) this.fail(JSON.stringify(mark));
  }

  /** A word made of letters, digits and `_`; `what` describes it in the complaint. */
  word(what: string): string {
    return this.#take(word) ?? this.fail(what);
  }

  /** Steps over the word `expected` if it comes next, as a whole. */
  skipsWord(expected: string): boolean {
    word.lastIndex = this.#at;
    if (word.exec(this.#text)?.[0] !== expected) return false;
    this.#take(word);
    return true;
  }

  /** One of `choices`. */
  choice<T extends string>(choices: readonly T[], what: string): T {
    const at = this.#at;
    const found = this.word(`${what} (${choices.join(", ")})`);
    return choices.find((c) => c === found) ?? this.fail(`${what} (${choices.join(", ")})`, { at });
  }

  name(what: string): string {
    return this.nextIs("\"") ? this.string(what) : this.#take(bareName) ?? this.fail(what);
  }

  string(what: string): string {
    const at = this.#at;
    const found = this.#take(quoted) ?? this.fail(what);
    try {
      return JSON.parse(found) as string;
    } catch {
      return this.fail(`${what} with escapes as in JSON`, { at });
    }
  }

  number(): number {
    const found = this.#take(number) ?? this.fail("a number");
    return Number(found.replace("inf", "Infinity").replace("nan", "NaN"));
  }

  integer(): number {
    const at = this.#at;
    const value = this.number();
    return Number.isSafeInteger(value) ? value : this.fail("a whole number", { at });
  }

  /** A polynomial over symbols: `3`, `N`, `49*N`, `N*T-2`. */
  size(): Dim {
    const at = this.#at;
    let total = this.#term(this.skips("-") ? -1 : 1);
    for (;;) {
      if (this.skips("+")) total = addDims(total, this.#term(1));
      else if (this.skips("-")) total = addDims(total, this.#term(-1));
      else break;
    }
    const coefficients = typeof total === "number" ? [total] : [...total.terms.values()];
    if (!coefficients.every(Number.isSafeInteger)) this.fail("a size that 2^53 holds", { at });
    return total;
  }

  #term(sign: number): Dim {
    let term: Dim = sign;
    do term = mulDims(term, this.#factor());
    while (this.skips("*"));
    return term;
  }

  #factor(): Dim {
    const found = this.#take(digits);
    if (found !== undefined) return Number(found);
    return symbol(this.word("a size, such as 3 or 49*N"));
  }

  /** `[a, b, c]`, possibly empty. */
  list<T>(item: () => T): T[] {
    this.expect("[");
    const items: T[] = [];
    if (this.skips("]")) return items;
    do items.push(item());
    while (this.skips(","));
    this.expect("]");
    return items;
  }
}

/**
 * Reads what `dimToString` writes.
 * @param source how messages call the text
 * @throws UserError when it is no size
 */
export function parseSize(text: string, source: string): Dim {
  const reader = new TextReader(text, source);
  const size = reader.size();
  return reader.atEnd ? size : reader.fail("the end of the size");
}
