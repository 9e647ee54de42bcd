/**
 * Functions as values and regions: the level between kernel expressions and bytes.
 *
 * A `Value` is a pure WebAssembly instruction over other values; equal ones are the same object. A
 * `Region` is a body of a loop or branch: statements in order. Every value belongs to the
 * outermost region in which all it is made of exists, and is computed there, once, just before the
 * first statement that needs it. So code motion out of loops and common subexpressions need no
 * pass of their own: the builder of a loop nest says what it computes, never where.
 *
 * Memory that changes while the function runs must be read with `loadNow`, and mutable locals with
 * `read`: both are evaluated at their place in the statement order. `load` is for memory that
 * nothing writes before its last use. Writing bytes is `codeWriter.ts`.
 */
import { InternalError } from "../../errors.ts";
import type { FunctionRef } from "./assembler.ts";
import {
  laneMemoryOps, laneOps, memoryOps, plainOps,
  type LaneMemoryOp, type LaneOp, type MemoryOp, type PlainOp, type WasmType,
} from "./opcodes.ts";

export type Operation =
  /** A parameter, a loop counter or a copy of a mutable local: fixed within its region. */
  | { readonly kind: "local"; readonly local: number }
  | { readonly kind: "const"; readonly value: number | bigint }
  | { readonly kind: "vector"; readonly bytes: Uint8Array }
  | { readonly kind: "op"; readonly op: PlainOp }
  | { readonly kind: "load"; readonly op: MemoryOp; readonly offset: number }
  | {
      readonly kind: "laneLoad"; readonly op: LaneMemoryOp; readonly offset: number;
      readonly lane: number;
    }
  | { readonly kind: "lane"; readonly op: LaneOp; readonly lane: number }
  | { readonly kind: "shuffle"; readonly bytes: readonly number[] }
  | { readonly kind: "select" }
  | { readonly kind: "call"; readonly callee: FunctionRef };

export interface Value {
  readonly id: number;
  readonly type: WasmType;
  /** Where it is computed. */
  readonly region: Region;
  readonly operation: Operation;
  readonly args: readonly Value[];
  /** Evaluated by its own statement and at no other place. */
  readonly bound: boolean;
}

/** A mutable local variable. */
export interface Variable {
  readonly type: WasmType;
  readonly local: number;
}

export interface Region {
  readonly parent: Region | undefined;
  readonly depth: number;
  readonly statements: Statement[];
}

export type Statement =
  | {
      readonly kind: "store"; readonly op: MemoryOp; readonly offset: number;
      readonly address: Value; readonly value: Value;
    }
  | {
      readonly kind: "laneStore"; readonly op: LaneMemoryOp; readonly offset: number;
      readonly lane: number; readonly address: Value; readonly value: Value;
    }
  | { readonly kind: "set"; readonly variable: Variable; readonly value: Value }
  | { readonly kind: "bind"; readonly value: Value; readonly local: number }
  | { readonly kind: "call"; readonly callee: FunctionRef; readonly args: readonly Value[] }
  | { readonly kind: "return"; readonly values: readonly Value[] }
  | {
      readonly kind: "loop"; readonly counter: number; readonly from: Value; readonly to: Value;
      readonly step: number; readonly mayBeEmpty: boolean; readonly body: Region;
    }
  /** Runs `body` once, then again as long as `again` is not zero. */
  | { readonly kind: "repeat"; readonly body: Region; readonly again: Value }
  | {
      readonly kind: "if"; readonly condition: Value; readonly then: Region;
      readonly otherwise: Region | undefined;
    };

const isConst = (v: Value): v is Value & { operation: { kind: "const"; value: number } } =>
  v.operation.kind === "const" && typeof v.operation.value === "number";

/** The number of an i32 constant, else undefined. */
export const constantOf = (v: Value): number | undefined =>
  isConst(v) && v.type === "i32" ? v.operation.value : undefined;

/** Builds one function. */
export class Code {
  readonly root: Region = { parent: undefined, depth: 0, statements: [] };
  readonly parameters: readonly Value[];
  /** Types of the locals after the parameters. */
  readonly locals: WasmType[] = [];
  #region: Region = this.root;
  readonly #values = new Map<string, Value>();
  #count = 0;

  constructor(parameters: readonly WasmType[]) {
    this.parameters = parameters.map((type, local) =>
      this.#make(type, this.root, { kind: "local", local }, []));
  }

  get region(): Region {
    return this.#region;
  }

  // ---- values --------------------------------------------------------------------------------

  i32(value: number): Value {
    return this.#constant("i32", value | 0);
  }
  i64(value: bigint): Value {
    return this.#intern("i64", { kind: "const", value: BigInt.asIntN(64, value) }, [], `l${value}`);
  }
  f32(value: number): Value {
    return this.#constant("f32", Math.fround(value));
  }
  f64(value: number): Value {
    return this.#constant("f64", value);
  }
  #constant(type: WasmType, value: number): Value {
    const key = `${type} ${Object.is(value, -0) ? "-0" : value}`;
    return this.#intern(type, { kind: "const", value }, [], key);
  }
  f32x4(...lanes: readonly number[]): Value {
    return this.#vector(new Uint8Array(Float32Array.from({ length: 4 }, (_, i) =>
      lanes[i % lanes.length] as number).buffer));
  }
  i32x4(...lanes: readonly number[]): Value {
    return this.#vector(new Uint8Array(Int32Array.from({ length: 4 }, (_, i) =>
      lanes[i % lanes.length] as number).buffer));
  }
  #vector(bytes: Uint8Array): Value {
    return this.#intern("v128", { kind: "vector", bytes }, [], `v${bytes.join()}`);
  }

  /** Any instruction without immediates. */
  op(op: PlainOp, ...args: Value[]): Value {
    return this.#intern(plainOps[op].result as WasmType, { kind: "op", op }, args, op);
  }
  /** Memory that no statement of this function writes before the value's last use. */
  load(op: MemoryOp, address: Value, offset = 0): Value {
    const type = memoryOps[op].result as WasmType;
    return this.#intern(type, { kind: "load", op, offset }, [address], `${op}+${offset}`);
  }
  /** `vector` with one lane replaced by the 32 bits at `address`. */
  loadLane(vector: Value, lane: number, address: Value, offset = 0): Value {
    const op = "v128.load32_lane";
    const operation = { kind: "laneLoad", op, offset, lane } as const;
    return this.#intern("v128", operation, [address, vector], `${op}+${offset}.${lane}`);
  }
  lane(op: LaneOp, lane: number, ...args: Value[]): Value {
    const type = laneOps[op].result as WasmType;
    return this.#intern(type, { kind: "lane", op, lane }, args, `${op}.${lane}`);
  }
  /** Lanes of two vectors of four: 0..3 are those of `a`, 4..7 those of `b`. */
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    const bytes = lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => lane * 4 + byte));
    return this.#intern("v128", { kind: "shuffle", bytes }, [a, b], `shuffle${lanes.join()}`);
  }
  /** a where `condition` is not zero, else b; both are evaluated. */
  select(condition: Value, a: Value, b: Value): Value {
    const known = constantOf(condition);
    if (known !== undefined) return known !== 0 ? a : b;
    if (a === b) return a;
    return this.#intern(a.type, { kind: "select" }, [a, b, condition], "select");
  }
  /** A function without effects. */
  call(callee: FunctionRef, ...args: Value[]): Value {
    const type = callee.results[0] as WasmType;
    return this.#intern(type, { kind: "call", callee }, args, `call${callee.index}`);
  }

  #intern(type: WasmType, operation: Operation, args: readonly Value[], name: string): Value {
    const key = `${name}(${args.map((a) => a.id).join()})`;
    const known = this.#values.get(key);
    if (known) return known;
    const made = this.#make(type, this.#home(args), operation, args);
    this.#values.set(key, made);
    return made;
  }

  #make(
    type: WasmType, region: Region, operation: Operation, args: readonly Value[], bound = false,
  ): Value {
    return { id: this.#count++, type, region, operation, args, bound };
  }

  /** The innermost region that a value of these operands needs. */
  #home(args: readonly Value[]): Region {
    let home = this.root;
    for (const { region } of args) {
      if (region.depth > home.depth) home = region;
    }
    for (let r: Region | undefined = this.#region; r !== home; r = r.parent) {
      if (!r) throw new InternalError("WASM code uses a value outside the loop that defines it");
    }
    return home;
  }

  // ---- i32 arithmetic, folding constants -----------------------------------------------------

  add(a: Value, b: Value): Value {
    const [x, y] = [constantOf(a), constantOf(b)];
    if (x !== undefined && y !== undefined) return this.i32(x + y);
    if (x === 0) return b;
    return y === 0 ? a : this.op("i32.add", a, b);
  }
  sub(a: Value, b: Value): Value {
    const y = constantOf(b);
    if (a === b) return this.i32(0);
    return y !== undefined ? this.add(a, this.i32(-y)) : this.op("i32.sub", a, b);
  }
  mul(a: Value, b: Value): Value {
    const [x, y] = [constantOf(a), constantOf(b)];
    if (x !== undefined && y !== undefined) return this.i32(Math.imul(x, y));
    if (x !== undefined) return this.mul(b, a);
    if (y === 0) return this.i32(0);
    return y === 1 ? a : this.op("i32.mul", a, b);
  }
  /** Quotient by a positive divisor of a number that is not negative. */
  div(a: Value, b: Value): Value {
    const [x, y] = [constantOf(a), constantOf(b)];
    if (x !== undefined && y !== undefined) return this.i32(Math.floor(x / y));
    return y === 1 ? a : this.op("i32.div_u", a, b);
  }
  min(a: Value, b: Value): Value {
    const [x, y] = [constantOf(a), constantOf(b)];
    if (x !== undefined && y !== undefined) return this.i32(Math.min(x, y));
    return this.select(this.op("i32.lt_s", a, b), a, b);
  }
  max(a: Value, b: Value): Value {
    const [x, y] = [constantOf(a), constantOf(b)];
    if (x !== undefined && y !== undefined) return this.i32(Math.max(x, y));
    return this.select(this.op("i32.gt_s", a, b), a, b);
  }
  /** Address of element `index` of an array of 4-byte elements. */
  element(base: Value, index: Value): Value {
    return this.add(base, this.mul(index, this.i32(4)));
  }

  // ---- statements ----------------------------------------------------------------------------

  #local(type: WasmType): number {
    this.locals.push(type);
    return this.parameters.length + this.locals.length - 1;
  }
  #state(statement: Statement): void {
    this.#region.statements.push(statement);
  }

  store(op: MemoryOp, address: Value, value: Value, offset = 0): void {
    this.#state({ kind: "store", op, offset, address, value });
  }
  storeLane(op: LaneMemoryOp, lane: number, address: Value, value: Value, offset = 0): void {
    if (laneMemoryOps[op].result) throw new InternalError(`${op} is no store`);
    this.#state({ kind: "laneStore", op, offset, lane, address, value });
  }
  loadNow(op: MemoryOp, address: Value, offset = 0): Value {
    const type = memoryOps[op].result as WasmType;
    return this.#bind(type, { kind: "load", op, offset }, [address]);
  }
  variable(type: WasmType, initial: Value): Variable {
    const made = { type, local: this.#local(type) };
    this.set(made, initial);
    return made;
  }
  set(variable: Variable, value: Value): void {
    this.#state({ kind: "set", variable, value });
  }
  /** The value of a variable at this place. */
  read(variable: Variable): Value {
    return this.#bind(variable.type, { kind: "local", local: variable.local }, []);
  }
  #bind(type: WasmType, operation: Operation, args: readonly Value[]): Value {
    const value = this.#make(type, this.#region, operation, args, true);
    this.#state({ kind: "bind", value, local: this.#local(type) });
    return value;
  }
  /** A function called for its effects on memory. */
  perform(callee: FunctionRef, ...args: readonly Value[]): void {
    this.#state({ kind: "call", callee, args });
  }
  return(...values: readonly Value[]): void {
    this.#state({ kind: "return", values });
  }

  /** Counts from `from` up to, not including, `to`; a loop of one turn is no loop. */
  loop(from: Value, to: Value, step: number, body: (i: Value) => void): void {
    const [x, y] = [constantOf(from), constantOf(to)];
    if (x !== undefined && y !== undefined) {
      if (y <= x) return;
      if (y - x <= step) {
        body(from);
        return;
      }
    }
    const mayBeEmpty = x === undefined || y === undefined;
    const counter = this.#local("i32");
    const region = this.#nested();
    this.#state({ kind: "loop", counter, from, to, step, mayBeEmpty, body: region });
    this.#inside(region, () =>
      body(this.#make("i32", region, { kind: "local", local: counter }, [])));
  }
  /** Runs `body` until the value that it returns is zero; at least once. */
  repeat(body: () => Value): void {
    const region = this.#nested();
    let again: Value | undefined;
    this.#inside(region, () => {
      again = body();
    });
    this.#state({ kind: "repeat", body: region, again: again as Value });
  }
  if(condition: Value, then: () => void, otherwise?: () => void): void {
    const known = constantOf(condition);
    if (known !== undefined) {
      if (known !== 0) then();
      else otherwise?.();
      return;
    }
    const [yes, no] = [this.#nested(), otherwise ? this.#nested() : undefined];
    this.#state({ kind: "if", condition, then: yes, otherwise: no });
    this.#inside(yes, then);
    if (no && otherwise) this.#inside(no, otherwise);
  }
  #nested(): Region {
    return { parent: this.#region, depth: this.#region.depth + 1, statements: [] };
  }
  #inside(region: Region, build: () => void): void {
    const outer = this.#region;
    this.#region = region;
    build();
    this.#region = outer;
  }
}
