/**
 * Turns the values and regions of `code.ts` into the bytes of a function: which values get a local
 * variable, where they are computed, and the structured control around them.
 *
 * A value used once, in its own region, stays on the stack; any other is set once in its region,
 * just before the first statement that needs it. Scalar constants are repeated, as engines hold
 * them for free; vector constants are not, as engines rebuild them at every use.
 */
import { InternalError } from "../../errors.ts";
import { FunctionWriter } from "./assembler.ts";
import type { Code, Region, Statement, Value } from "./code.ts";

/** Values that a statement uses itself, and the nested regions in which it uses others. */
function partsOf(s: Statement): { here: readonly Value[]; inside: readonly Region[] } {
  switch (s.kind) {
    case "store": case "laneStore": return { here: [s.address, s.value], inside: [] };
    case "set": return { here: [s.value], inside: [] };
    case "bind": return { here: s.value.args, inside: [] };
    case "call": return { here: s.args, inside: [] };
    case "return": return { here: s.values, inside: [] };
    case "loop": return { here: [s.from, s.to], inside: [s.body] };
    case "repeat": return { here: [], inside: [s.body] };
    case "if":
      return { here: [s.condition], inside: s.otherwise ? [s.then, s.otherwise] : [s.then] };
  }
}

class CodeWriter {
  readonly #out: FunctionWriter;
  readonly #uses = new Map<Value, number>();
  /** Values needed in a region inside their own. */
  readonly #crossing = new Set<Value>();
  /** Local variable of each value that was computed into one. */
  readonly #held = new Map<Value, number>();

  constructor(code: Code) {
    this.#out = new FunctionWriter(code.parameters.length);
    for (const type of code.locals) this.#out.local(type);
    this.#countRegion(code.root);
    this.#region(code.root);
  }

  finish(): FunctionWriter {
    return this.#out;
  }

  // ---- which values need a local -------------------------------------------------------------

  #countRegion(region: Region): void {
    for (const s of region.statements) {
      const { here, inside } = partsOf(s);
      for (const v of here) this.#count(v, region);
      for (const r of inside) this.#countRegion(r);
      if (s.kind === "repeat") this.#count(s.again, s.body);
      // The end of a loop is compared on every turn.
      if (s.kind === "loop") this.#count(s.to, s.body);
    }
  }
  #count(v: Value, from: Region): void {
    const uses = this.#uses.get(v) ?? 0;
    this.#uses.set(v, uses + 1);
    if (from !== v.region) this.#crossing.add(v);
    if (uses === 0) for (const arg of v.args) this.#count(arg, v.region);
  }
  #needsLocal(v: Value): boolean {
    if (v.bound || v.operation.kind === "local" || v.operation.kind === "const") return false;
    if (v.operation.kind === "vector") return true;
    return (this.#uses.get(v) as number) > 1 || this.#crossing.has(v);
  }

  // ---- statements ----------------------------------------------------------------------------

  #region(region: Region): void {
    for (const s of region.statements) {
      this.#prepare(s, region, new Set());
      this.#statement(s);
    }
  }

  /** Computes into locals whatever of this region the statement needs, however deep inside. */
  #prepare(s: Statement, home: Region, seen: Set<Value>): void {
    const { here, inside } = partsOf(s);
    for (const v of here) this.#materialise(v, home, seen);
    for (const region of inside) {
      for (const nested of region.statements) this.#prepare(nested, home, seen);
    }
    if (s.kind === "repeat") this.#materialise(s.again, home, seen);
  }
  #materialise(v: Value, home: Region, seen: Set<Value>): void {
    if (v.region.depth < home.depth || seen.has(v) || this.#held.has(v)) return;
    seen.add(v);
    for (const arg of v.args) this.#materialise(arg, home, seen);
    if (v.region !== home || !this.#needsLocal(v)) return;
    this.#compute(v);
    const local = this.#out.local(v.type);
    this.#out.set(local);
    this.#held.set(v, local);
  }

  #statement(s: Statement): void {
    const out = this.#out;
    switch (s.kind) {
      case "store":
        this.#push(s.address);
        this.#push(s.value);
        return out.memory(s.op, s.offset);
      case "laneStore":
        this.#push(s.address);
        this.#push(s.value);
        return out.laneMemory(s.op, s.lane, s.offset);
      case "set":
        this.#push(s.value);
        return out.set(s.variable.local);
      case "bind":
        this.#compute(s.value);
        out.set(s.local);
        this.#held.set(s.value, s.local);
        return;
      case "call":
        for (const arg of s.args) this.#push(arg);
        return out.call(s.callee.index);
      case "return":
        for (const value of s.values) this.#push(value);
        return out.return();
      case "loop": return this.#loop(s);
      case "repeat":
        return out.loop(() => {
          this.#region(s.body);
          this.#prepareLast(s.again, s.body);
          this.#push(s.again);
          out.branchIf(0);
        });
      case "if": {
        this.#push(s.condition);
        const { otherwise } = s;
        return out.if(() => this.#region(s.then), otherwise && (() => this.#region(otherwise)));
      }
    }
  }

  #loop(s: Statement & { kind: "loop" }): void {
    const out = this.#out;
    this.#push(s.from);
    out.set(s.counter);
    const turns = (): void => out.loop(() => {
      this.#region(s.body);
      out.get(s.counter);
      out.i32(s.step);
      out.op("i32.add");
      out.tee(s.counter);
      this.#push(s.to);
      out.op("i32.lt_s");
      out.branchIf(0);
    });
    if (!s.mayBeEmpty) return turns();
    out.get(s.counter);
    this.#push(s.to);
    out.op("i32.lt_s");
    out.if(turns);
  }

  #prepareLast(v: Value, home: Region): void {
    this.#materialise(v, home, new Set());
  }

  // ---- values --------------------------------------------------------------------------------

  #push(v: Value): void {
    const local = this.#held.get(v);
    if (local !== undefined) return this.#out.get(local);
    if (v.bound) throw new InternalError("WASM code reads a bound value before its statement");
    this.#compute(v);
  }

  #compute(v: Value): void {
    const out = this.#out;
    for (const arg of v.args) this.#push(arg);
    const o = v.operation;
    switch (o.kind) {
      case "local": return out.get(o.local);
      case "const": return this.#constant(v, o.value);
      case "vector": return out.v128(o.bytes);
      case "op": return out.op(o.op);
      case "load": return out.memory(o.op, o.offset);
      case "laneLoad": return out.laneMemory(o.op, o.lane, o.offset);
      case "lane": return out.lane(o.op, o.lane);
      case "shuffle": return out.shuffle(o.bytes);
      case "select": return out.select(v.type);
      case "call": return out.call(o.callee.index);
    }
  }

  #constant(v: Value, value: number | bigint): void {
    if (typeof value === "bigint") this.#out.i64(value);
    else if (v.type === "i32") this.#out.i32(value);
    else if (v.type === "f32") this.#out.f32(value);
    else this.#out.f64(value);
  }
}

/** The body of a function that was built. */
export const writeCode = (code: Code): FunctionWriter => new CodeWriter(code).finish();
