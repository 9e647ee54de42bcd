/**
 * Turns expression DAGs into statements: every node is computed once, in the innermost region that
 * all its uses share, but outside every loop whose index it does not depend on. Nodes used once are
 * printed inside their user; the others get a `let` with a readable name.
 *
 * A `guard` becomes a branch when that spares work (several loads, or a costly function); else it
 * is a `select`: WGSL promises that an out-of-bounds load faults nothing, so both sides may be
 * evaluated (https://www.w3.org/TR/WGSL/#out-of-bounds-access).
 */
import { InternalError } from "../../errors.ts";
import {
  collect, operandsOf, type Expr, type ExprBinary, type ExprUnary,
} from "../../kernels/expr.ts";
import { constantsAmong } from "./constants.ts";
import type { Module } from "./module.ts";
import type { Names } from "./names.ts";
import { commonRegion, inner, Region } from "./region.ts";
import {
  binaryText, castText, isPrimary, literal, primary, selectText, unaryText, type Text,
} from "./text.ts";

/** Longer expressions are split by naming parts; a statement may hold two that were asked for. */
const longest = { inner: 54, demanded: 44 };

interface Use {
  readonly region?: Region;
  readonly user?: Expr;
  /** The use is the branch that a guard takes when its condition is true, or else false. */
  readonly side?: "a" | "b";
}

interface Given {
  readonly text: Text;
  readonly region: Region;
  /** Printed as `let name = definition;` when something uses the axis. */
  readonly definition?: string;
}

type Choice = Extract<Expr, { readonly kind: "select" | "guard" }>;

interface Branches {
  readonly a: Region;
  readonly b: Region;
}

export class Schedule {
  readonly #module: Module;
  readonly #names: Names;
  readonly #root: Region;
  readonly #axes = new Map<number, Given>();
  readonly #given = new Map<Expr, Given>();
  readonly #acc: { given?: Given } = {};
  readonly #demands: { readonly e: Expr; readonly region: Region }[] = [];
  readonly #texts = new Map<Expr, Text>();
  /** Nodes whose text stands inside their only user's. */
  readonly #inlined = new Set<Expr>();
  #constants: ReadonlyMap<Expr, number> = new Map();
  #uses: ReadonlyMap<Expr, readonly Use[]> = new Map();
  #branches: ReadonlyMap<Expr, Branches> = new Map();
  #home: ReadonlyMap<Expr, Region> = new Map();

  constructor(module: Module, names: Names, root: Region) {
    this.#module = module;
    this.#names = names;
    this.#root = root;
  }

  /** Axis `axis` is the variable `name` of `region`, which `definition` computes if it is used. */
  axis(axis: number, name: string, region: Region, definition?: string): void {
    this.#axes.set(axis, { text: primary(name), region, definition });
  }

  /** The accumulator is `text`, complete from `region` on. */
  acc(text: string, region: Region): void {
    this.#acc.given = { text: primary(text), region };
  }

  /** `e` is already in a variable. */
  give(e: Expr, name: string, region: Region): void {
    this.#given.set(e, { text: primary(name), region });
  }

  /** `e` will be asked for in `region`. */
  need(e: Expr, region: Region): void {
    this.#demands.push({ e, region });
  }

  /** Decides where everything is computed and prints it; afterwards `text` answers. */
  place(): void {
    this.#constants = constantsAmong(collect(this.#demands.map(({ e }) => e)));
    const nodes = this.#reachable();
    this.#uses = this.#usesOf(nodes);
    this.#branches = this.#branchesOf(nodes);
    this.#home = this.#homes(nodes);
    this.#define(nodes);
    for (const e of nodes) this.#texts.set(e, this.#printed(e));
  }

  /** Text of an expression that was asked for. */
  text(e: Expr): string {
    return this.textOf(e).text;
  }

  textOf(e: Expr): Text {
    const text = this.#texts.get(e);
    if (!text) throw new InternalError(`expression ${e.id} (${e.kind}) was not asked for`);
    return text;
  }

  #leaf(e: Expr): Given | undefined {
    const given = this.#given.get(e);
    if (given) return given;
    if (e.kind === "acc") return this.#acc.given;
    if (e.kind !== "axis") return undefined;
    const axis = this.#axes.get(e.axis);
    if (!axis) throw new InternalError(`axis ${e.axis} has no place in this part of the kernel`);
    return axis;
  }

  #operands(e: Expr): readonly Expr[] {
    if (this.#given.has(e) || this.#constants.has(e)) return [];
    if (e.kind === "unary" && e.op === "not" && isOrder(e.a)) return operandsOf(e.a);
    return operandsOf(e);
  }

  #reachable(): Expr[] {
    const seen = new Set<Expr>();
    const stack = this.#demands.map(({ e }) => e);
    while (stack.length > 0) {
      const e = stack.pop() as Expr;
      if (seen.has(e)) continue;
      seen.add(e);
      stack.push(...this.#operands(e));
    }
    return [...seen].sort((a, b) => a.id - b.id);
  }

  #usesOf(nodes: readonly Expr[]): Map<Expr, Use[]> {
    const uses = new Map<Expr, Use[]>(nodes.map((e) => [e, []]));
    for (const { e, region } of this.#demands) uses.get(e)?.push({ region });
    for (const user of nodes) {
      const operands = this.#operands(user);
      operands.forEach((e, i) => {
        const side = user.kind === "guard" && i > 0 ? (i === 1 ? "a" : "b") : undefined;
        uses.get(e)?.push({ user, side });
      });
    }
    return uses;
  }

  #branchesOf(nodes: readonly Expr[]): Map<Expr, Branches> {
    const guards = nodes.filter((e) => e.kind === "guard" && this.#operands(e).length > 0);
    return new Map(guards.filter((e) => e.kind === "guard" && isCostly(e.a, e.b))
      .map((e) => [e, { a: new Region("branch"), b: new Region("branch") }]));
  }

  #homes(nodes: readonly Expr[]): Map<Expr, Region> {
    const earliest = new Map<Expr, Region>();
    for (const e of nodes) {
      const own = this.#leaf(e)?.region ?? this.#root;
      earliest.set(e, this.#operands(e).map((o) => earliest.get(o) as Region).reduce(inner, own));
    }
    const home = new Map<Expr, Region>();
    for (const e of nodes.toReversed()) {
      const places = (this.#uses.get(e) as readonly Use[]).map((use) => this.#placeOf(use, home));
      const latest = places.reduce(commonRegion);
      const region = outsideLoops(latest, earliest.get(e) as Region);
      home.set(e, region);
      this.#branches.get(e)?.a.attach(region);
      this.#branches.get(e)?.b.attach(region);
    }
    return home;
  }

  /** Declares the axes that are used and not yet variables. */
  #define(nodes: readonly Expr[]): void {
    const used = new Set(nodes.flatMap((e) => (e.kind === "axis" ? [e.axis] : [])));
    for (const axis of [...used].sort((a, b) => a - b)) {
      const { text, region, definition } = this.#axes.get(axis) as Given;
      if (definition !== undefined) region.push(`let ${text.text} = ${definition};`);
    }
  }

  #printed(e: Expr): Text {
    const leaf = this.#leaf(e);
    if (leaf) return leaf.text;
    const value = this.#constants.get(e);
    if (value !== undefined) return literal(value, e.type, this.#module);
    const region = this.#home.get(e) as Region;
    const branches = this.#branches.get(e);
    if (branches && e.kind === "guard") return this.#branched(e, region, branches);
    let text = this.#expression(e);
    for (const part of this.#parts(e)) {
      if (text.text.length <= longest.inner) break;
      this.#texts.set(part, this.#bind(part, this.textOf(part), region));
      text = this.#expression(e);
    }
    if (e.kind === "size" && isPrimary(text)) return text;
    const [use, ...more] = this.#uses.get(e) as readonly [Use, ...Use[]];
    const isShort = use.user !== undefined || text.text.length <= longest.demanded;
    if (more.length > 0 || this.#placeOf(use, this.#home) !== region || !isShort) {
      return this.#bind(e, text, region);
    }
    this.#inlined.add(e);
    return text;
  }

  /** Operands that are printed inside `e` and could have a name, the longest first. */
  #parts(e: Expr): Expr[] {
    const length = (o: Expr): number => this.textOf(o).text.length;
    return this.#operands(e).filter((o) => this.#inlined.has(o))
      .sort((a, b) => length(b) - length(a));
  }

  #bind(e: Expr, { text }: Text, region: Region): Text {
    const name = this.#names.fresh(this.#nameFor(e));
    region.push(`let ${name} = ${text};`);
    return primary(name);
  }

  #placeOf({ region, user, side }: Use, home: ReadonlyMap<Expr, Region>): Region {
    if (region) return region;
    const branch = side && this.#branches.get(user as Expr)?.[side];
    return branch ?? (home.get(user as Expr) as Region);
  }

  /** `var x = b; if (cond) { x = a; }`, with an else-branch where b is computed only there. */
  #branched(e: Choice, region: Region, { a, b }: Branches): Text {
    const name = this.#names.fresh(this.#nameFor(e));
    a.push(`${name} = ${this.text(e.a)};`);
    const isKnown = this.#constants.has(e.b) || this.#leaf(e.b) || this.#home.get(e.b) !== b;
    region.push(isKnown ? `var ${name} = ${this.text(e.b)};` : `var ${name}: ${e.type};`);
    region.block(`if (${this.text(e.cond)})`, a);
    if (!isKnown) {
      b.push(`${name} = ${this.text(e.b)};`);
      region.lines.pop();
      region.block("} else", b);
    }
    return primary(name);
  }

  #expression(e: Expr): Text {
    const module = this.#module;
    switch (e.kind) {
      case "const": return literal(e.value, e.type, module);
      case "size": return module.size(e.dim);
      case "load": {
        const text = primary(module.element(e.buffer, this.text(e.index)));
        return e.type === "bool" ? castText(text, "i32", "bool", module) : text;
      }
      case "unary":
        if (e.op === "not" && isOrder(e.a)) {
          // Integers are ordered: !(a < b) is b <= a. Floats may be NaN.
          const [a, b] = [this.textOf(e.a.a), this.textOf(e.a.b)];
          return binaryText(e.a.op === "lt" ? "le" : "lt", e.a.a.type, b, a, module);
        }
        return unaryText(e.op, e.a.type, this.textOf(e.a), module);
      case "binary":
        return binaryText(
          e.op, e.a.type, this.textOf(e.a), this.textOf(e.b), module, e.b.type);
      case "select": case "guard":
        return selectText(this.textOf(e.cond), this.textOf(e.a), this.textOf(e.b));
      case "cast": return castText(this.textOf(e.a), e.a.type, e.type, module);
      case "bitcast": return primary(`bitcast<${e.type}>(${this.text(e.a)})`);
      case "axis": case "acc":
        throw new InternalError(`${e.kind} has no place in this part of the kernel`);
    }
  }

  #nameFor(e: Expr): string {
    if (e.kind === "load") return `${this.#module.bindings[e.buffer]?.name}_value`;
    if (e.type === "bool") return isIndex(e) ? "inside" : "test";
    if (e.type === "i32" && isIndex(e)) return this.#nameOfIndex(e);
    if (e.kind === "unary") return unaryNames[e.op] ?? "value";
    if (e.kind === "binary") return binaryNames[e.op] ?? "value";
    if (e.kind === "guard") return this.#constants.has(e.b) ? "guarded" : "chosen";
    return "value";
  }

  /** "pixel_rest" where only the axis `pixel` matters, else "offset". */
  #nameOfIndex(e: Expr): string {
    const axes = new Set(collect([e]).flatMap((node) => (node.kind === "axis" ? [node.axis] : [])));
    const [axis = -1, ...others] = axes;
    const name = this.#axes.get(axis)?.text.text ?? "";
    if (others.length > 0 || !/^\w+$/.test(name)) return "offset";
    return `${name}_${(e.kind === "binary" && indexParts[e.op]) || "offset"}`;
  }
}

/** What is done to an axis last, for names of index expressions of one axis. */
const indexParts: Partial<Record<ExprBinary, string>> = { div: "quotient", rem: "rest" };

const unaryNames: Partial<Record<ExprUnary, string>> = {
  neg: "negated", abs: "magnitude", sign: "direction", exp: "exponential", log: "logarithm",
  sqrt: "root", sin: "sine", cos: "cosine", tanh: "squashed", erf: "error",
};
const binaryNames: Partial<Record<ExprBinary, string>> = {
  add: "sum", sub: "difference", mul: "product", div: "quotient", rem: "rest", pow: "powered",
  max: "larger", min: "smaller", and: "masked", or: "joined", xor: "mixed", shl: "shifted",
  shr: "shifted",
};

/** An integer comparison, whose negation is the opposite comparison. */
function isOrder(e: Expr): e is Expr & { kind: "binary"; op: "lt" | "le" } {
  return e.kind === "binary" && (e.op === "lt" || e.op === "le") &&
    (e.a.type === "i32" || e.a.type === "u32");
}

/** Computed from axes and sizes alone. */
const isIndex = (e: Expr): boolean =>
  collect([e]).every(({ kind }) => kind !== "load" && kind !== "acc");

/** Moves from the latest possible region outwards past loops that the expression does not need. */
function outsideLoops(latest: Region, earliest: Region): Region {
  let best = latest;
  for (let r = latest; r !== earliest;) {
    const parent = r.parent;
    if (!parent) throw new InternalError("an expression is used outside the loop it depends on");
    if (r.kind === "loop") best = parent;
    r = parent;
  }
  return best;
}

const costlyUnary: ReadonlySet<ExprUnary> = new Set<ExprUnary>([
  "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
  "acosh", "atanh", "erf",
]);

/** More than one load, or a function of many instructions, under the two sides of a guard. */
function isCostly(a: Expr, b: Expr): boolean {
  let loads = 0;
  const seen = new Set<Expr>();
  const stack = [a, b];
  while (stack.length > 0) {
    const e = stack.pop() as Expr;
    if (seen.has(e)) continue;
    seen.add(e);
    if (e.kind === "load" && ++loads > 1) return true;
    if (e.kind === "unary" && costlyUnary.has(e.op)) return true;
    if (e.kind === "binary" && e.op === "pow") return true;
    stack.push(...operandsOf(e));
  }
  return false;
}
