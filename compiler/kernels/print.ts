/**
 * Writes a kernel as text for people: its buffers, its loops, and in them the scalar expressions,
 * with a `let` for each expression that is used more than once. Buffers are called by the values
 * they hold (`%name`), as in the text of a graph. It is not read back; `serialise.ts` is for that.
 *
 *     kernel fc_Gemm from "/fc/Gemm", "/relu"
 *       read %x: f32[64*N]
 *       read %w: f32[640]
 *       write %y: f32[10*N]
 *       for m < N, n < 10
 *         acc = sum over k < 64 of a * b
 *           a = %x[64*m + k]
 *           b = %w[10*k + n]
 *         %y[10*m + n] = max(acc, 0.0)
 */
import { dimToString } from "../graph/dim.ts";
import { showFloat32, showName } from "../graph/text.ts";
import { collect, operandsOf, type Expr, type ExprBinary, type ExprKind } from "./expr.ts";
import {
  axesOf, rootsOf, storesOf, type Axis, type Kernel, type KernelBody, type Store,
} from "./kernel.ts";

interface Infix {
  readonly sign: string;
  /** Binding strength; an operand that binds less is put in brackets. */
  readonly level: number;
}
const infix: Partial<Record<ExprBinary, Infix>> = {
  or: { sign: "|", level: 1 },
  xor: { sign: "^", level: 2 },
  and: { sign: "&", level: 3 },
  eq: { sign: "==", level: 4 },
  lt: { sign: "<", level: 5 },
  le: { sign: "<=", level: 5 },
  shl: { sign: "<<", level: 6 },
  shr: { sign: ">>", level: 6 },
  add: { sign: "+", level: 7 },
  sub: { sign: "-", level: 7 },
  mul: { sign: "*", level: 8 },
  div: { sign: "/", level: 8 },
  rem: { sign: "%", level: 8 },
};
const ATOM = 9;

const atoms = new Set<ExprKind>(["const", "axis", "size", "acc"]);
/** Written where it is used, however often: a name would be as long. `3*i` is short, too. */
const isShort = (e: Expr): boolean => atoms.has(e.kind) || (e.kind === "binary" &&
  e.op === "mul" && e.type === "i32" && atoms.has(e.a.kind) && e.b.kind === "const");

function showConst(value: number, type: Expr["type"]): string {
  if (type === "bool") return value ? "true" : "false";
  if (type === "u32") return `${value}u`;
  if (type === "i32") return String(value);
  const text = showFloat32(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** The negated comparison where `not(a < b)` is `a >= b`: on integers, which have no NaN. */
function notLess(e: Expr): { readonly a: Expr; readonly b: Expr } | undefined {
  if (e.kind !== "unary" || e.op !== "not") return undefined;
  const { a } = e;
  return a.kind === "binary" && a.op === "lt" && a.a.type !== "f32" ? a : undefined;
}

class Printer {
  readonly lines: string[] = [];
  readonly #kernel: Kernel;
  readonly #axes: readonly Axis[];
  readonly #names = new Map<Expr, string>();
  #depth = 1;
  #lets = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#axes = axesOf(kernel.body);
  }

  line(text: string): void {
    this.lines.push(`${"  ".repeat(this.#depth)}${text}`);
  }

  /** What is named inside is not known outside. */
  inside(body: () => void): void {
    const known = new Set(this.#names.keys());
    this.#depth++;
    body();
    this.#depth--;
    for (const e of this.#names.keys()) if (!known.has(e)) this.#names.delete(e);
  }

  #buffer(index: number): string {
    return `%${showName(this.#kernel.arguments[index]?.name ?? "")}`;
  }

  /** An expression at a place where everything below `level` needs brackets. */
  show(e: Expr, level = 0): string {
    const name = this.#names.get(e);
    if (name !== undefined) return name;
    const text = this.#text(e);
    const compared = e.kind === "unary" ? notLess(e) : undefined;
    const own = compared ? 5 : e.kind === "binary" ? (infix[e.op]?.level ?? ATOM) : ATOM;
    const isSum = e.kind === "size" && /[-+]/.test(text) && level > 7;
    return own < level || isSum ? `(${text})` : text;
  }

  #text(e: Expr): string {
    switch (e.kind) {
      case "const":
        return showConst(e.value, e.type);
      case "axis":
        return this.#axes[e.axis]?.name ?? `axis${e.axis}`;
      case "size":
        return dimToString(e.dim);
      case "load":
        return `${this.#buffer(e.buffer)}[${this.show(e.index)}]`;
      case "acc":
        return "acc";
      case "unary": {
        const less = notLess(e);
        if (less) return `${this.show(less.a, 6)} >= ${this.show(less.b, 6)}`;
        return `${e.op}(${this.show(e.a)})`;
      }
      case "binary":
        return this.#binary(e.op, e.a, e.b);
      case "select":
      case "guard":
        return `${e.kind}(${this.show(e.cond)}, ${this.show(e.a)}, ${this.show(e.b)})`;
      case "cast":
        return `${e.type}(${this.show(e.a)})`;
      case "bitcast":
        return `bits<${e.type}>(${this.show(e.a)})`;
    }
  }

  #binary(op: ExprBinary, a: Expr, b: Expr): string {
    const how = infix[op];
    if (!how) return `${op}(${this.show(a)}, ${this.show(b)})`;
    // Index arithmetic reads as in row-major formulas: 28*y + x - 1.
    if (op === "mul" && b.kind === "const" && b.type === "i32") {
      return `${showConst(b.value, "i32")}*${this.show(a, how.level + 1)}`;
    }
    if (op === "add" && b.kind === "const" && b.type === "i32" && b.value < 0) {
      return `${this.show(a, how.level)} - ${-b.value}`;
    }
    return `${this.show(a, how.level)} ${how.sign} ${this.show(b, how.level + 1)}`;
  }

  /**
   * Names what is used more than once below `roots` and is not named yet; `keep` says which of it
   * belongs here rather than to a loop further in.
   */
  lets(roots: readonly Expr[], keep: (e: Expr) => boolean = () => true): void {
    const uses = new Map<Expr, number>();
    const nodes = collect(roots);
    for (const e of [...roots, ...nodes.flatMap(operandsOf)]) uses.set(e, (uses.get(e) ?? 0) + 1);
    for (const e of nodes) {
      const shared = (uses.get(e) ?? 0) > 1 && !isShort(e);
      if (!shared || this.#names.has(e) || !keep(e)) continue;
      const text = this.show(e);
      const name = `t${this.#lets++}`;
      this.#names.set(e, name);
      this.line(`let ${name} = ${text}`);
    }
  }

  loop(axes: readonly Axis[], body: () => void): void {
    if (axes.length === 0) {
      body();
      return;
    }
    this.line(`for ${showAxes(axes)}`);
    this.inside(body);
  }

  store({ buffer, index, value }: Store): void {
    this.line(`${this.#buffer(buffer)}[${this.show(index)}] = ${this.show(value)}`);
  }

  target(buffer: number, index: string): string {
    return `${this.#buffer(buffer)}[${index}]`;
  }
}

const showAxes = (axes: readonly Axis[]): string =>
  axes.map(({ name, extent }) => `${name} < ${dimToString(extent)}`).join(", ");

/** Expressions that depend on the accumulator or on an axis numbered `first` or later. */
function lateOnes(roots: readonly Expr[], first: number): Set<Expr> {
  const late = new Set<Expr>();
  for (const e of collect(roots)) {
    const own = e.kind === "acc" || (e.kind === "axis" && e.axis >= first);
    if (own || operandsOf(e).some((o) => late.has(o))) late.add(e);
  }
  return late;
}

/** The accumulation: what is shared with the store is named before it. */
function accumulation(
  p: Printer, outer: number, inner: readonly Expr[], store: Store, body: () => void,
): void {
  const all = [...inner, store.index, store.value];
  const late = lateOnes(all, outer);
  p.lets(all, (e) => !late.has(e));
  body();
  p.lets([store.index, store.value]);
  p.store(store);
}

type Writers = {
  [K in KernelBody["kind"]]: (p: Printer, body: Extract<KernelBody, { kind: K }>) => void;
};
const writers: Writers = {
  map(p, body) {
    p.loop(body.axes, () => {
      p.lets(rootsOf(body));
      storesOf(body).forEach((store) => p.store(store));
    });
  },
  reduce(p, { axes, reduceAxes, op, value, store }) {
    p.loop(axes, () => accumulation(p, axes.length, [value], store, () => {
      p.line(`acc = ${op} over ${showAxes(reduceAxes) || "nothing"} of x`);
      p.inside(() => {
        p.lets([value]);
        p.line(`x = ${p.show(value)}`);
      });
    }));
  },
  contract(p, { batch, m, n, k, a, b, store }) {
    const outer = [...batch, ...m, ...n];
    p.loop(outer, () => accumulation(p, outer.length, [a, b], store, () => {
      p.line(`acc = sum over ${showAxes(k) || "nothing"} of a * b`);
      p.inside(() => {
        p.lets([a, b]);
        p.line(`a = ${p.show(a)}`);
        p.line(`b = ${p.show(b)}`);
      });
    }));
  },
  cumulate(p, { axes, op, value, store }) {
    p.loop(axes, () => accumulation(p, axes.length, [value], store, () => {
      p.lets([value]);
      p.line(`acc = running ${op} along ${axes.at(-1)?.name} of ${p.show(value)}`);
    }));
  },
  scatter(p, { rows, columns, updates, op, initial, target, update, output }) {
    const size = dimToString(columns.extent);
    p.loop([rows, columns], () => {
      p.lets([initial]);
      p.line(`${p.target(output, `${size}*${rows.name} + ${columns.name}`)} = ${p.show(initial)}`);
    });
    p.loop([updates, columns], () => {
      p.lets([target, update]);
      p.line(`row = ${p.show(target)}, where 0 <= row < ${dimToString(rows.extent)}`);
      const how = op === "none" ? "replaced by" : `combined by ${op} with`;
      p.line(`${p.target(output, `${size}*row + ${columns.name}`)} ${how} ${p.show(update)}`);
    });
  },
  sort(p, { axes, sorted, descending, value, output }) {
    p.loop(axes, () => {
      const order = descending ? "descending" : "ascending";
      const index = [...axes, sorted].map(({ name }) => name).join(", ");
      p.line(`${p.target(output, index)} = ${order} order over ${showAxes([sorted])} of x`);
      p.inside(() => {
        p.lets([value]);
        p.line(`x = ${p.show(value)}`);
      });
    });
  },
};

export function printKernel(kernel: Kernel): string {
  const printer = new Printer(kernel);
  for (const { name, storage, access, size } of kernel.arguments) {
    printer.line(`${access} %${showName(name)}: ${storage}[${dimToString(size)}]`);
  }
  const write = writers[kernel.body.kind] as (p: Printer, body: KernelBody) => void;
  write(printer, kernel.body);
  const origin = kernel.origin.map((name) => JSON.stringify(name)).join(", ");
  const head = `kernel ${kernel.name}${origin === "" ? "" : ` from ${origin}`}`;
  return [head, ...printer.lines].join("\n");
}
