/**
 * A small assembler for WebAssembly binaries: bytes of one function body (`FunctionWriter`) and
 * the sections around them (`ModuleWriter`). It does not check types: tests run every module
 * through a validator. Source: WebAssembly core specification 2.0, chapter 5, binary format.
 */
import { InternalError } from "../../errors.ts";
import {
  laneMemoryOps, laneOps, memoryOps, plainOps,
  type LaneMemoryOp, type LaneOp, type MemoryOp, type PlainOp, type WasmType,
} from "./opcodes.ts";

const typeCodes: Record<WasmType, number> = {
  i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b,
};
const EMPTY_BLOCK = 0x40;
const FUNCTION_TYPE = 0x60;

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}

/** Unsigned LEB128 padded to `length` bytes: a size that does not depend on the value. */
function padded(value: number, length: number): number[] {
  const bytes: number[] = [];
  for (let i = 0; i < length; i++) {
    bytes.push((value % 128) | (i < length - 1 ? 0x80 : 0));
    value = Math.floor(value / 128);
  }
  return bytes;
}

/** Signed LEB128. */
function signed(value: bigint): number[] {
  const bytes: number[] = [];
  for (;;) {
    const low = Number(value & 0x7fn);
    value >>= 7n;
    const done = (value === 0n && (low & 0x40) === 0) || (value === -1n && (low & 0x40) !== 0);
    bytes.push(done ? low : low | 0x80);
    if (done) return bytes;
  }
}

const utf8 = new TextEncoder();
const text = (name: string): number[] => {
  const bytes = utf8.encode(name);
  return [...unsigned(bytes.length), ...bytes];
};
const vector = (items: readonly (readonly number[])[]): number[] =>
  [...unsigned(items.length), ...items.flat()];

/** A growing list of bytes; appends do not copy what is there. */
class Bytes {
  #data = new Uint8Array(256);
  length = 0;
  push(bytes: ArrayLike<number>): void {
    const needed = this.length + bytes.length;
    if (needed > this.#data.length) {
      const larger = new Uint8Array(Math.max(needed, this.#data.length * 2));
      larger.set(this.#data.subarray(0, this.length));
      this.#data = larger;
    }
    this.#data.set(bytes, this.length);
    this.length = needed;
  }
  view(): Uint8Array {
    return this.#data.subarray(0, this.length);
  }
}

/** Body of one function: instructions in order, with structured control. */
export class FunctionWriter {
  readonly #body = new Bytes();
  readonly #locals: WasmType[] = [];
  readonly #parameters: number;

  constructor(parameters: number) {
    this.#parameters = parameters;
  }

  /** A new local variable; zero at the start. */
  local(type: WasmType): number {
    this.#locals.push(type);
    return this.#parameters + this.#locals.length - 1;
  }

  op(name: PlainOp): void {
    this.#body.push(plainOps[name].code);
  }
  /** A load or store at the address operand plus `offset` bytes. */
  memory(name: MemoryOp, offset = 0): void {
    const { code, align } = memoryOps[name];
    this.#body.push([...code, align, ...unsigned(offset)]);
  }
  laneMemory(name: LaneMemoryOp, lane: number, offset = 0): void {
    const { code, align } = laneMemoryOps[name];
    this.#body.push([...code, align, ...unsigned(offset), lane]);
  }
  lane(name: LaneOp, lane: number): void {
    this.#body.push([...laneOps[name].code, lane]);
  }
  /** i8x16.shuffle: byte i of the result is byte `bytes[i]` of the two operands, end to end. */
  shuffle(bytes: readonly number[]): void {
    this.#body.push([0xfd, 0x0d, ...bytes]);
  }

  i32(value: number): void {
    this.#body.push([0x41, ...signed(BigInt(value | 0))]);
  }
  i64(value: bigint): void {
    this.#body.push([0x42, ...signed(BigInt.asIntN(64, value))]);
  }
  f32(value: number): void {
    this.#body.push([0x43, ...new Uint8Array(Float32Array.of(value).buffer)]);
  }
  f64(value: number): void {
    this.#body.push([0x44, ...new Uint8Array(Float64Array.of(value).buffer)]);
  }
  v128(bytes: Uint8Array): void {
    this.#body.push([0xfd, 0x0c, ...bytes]);
  }

  get(local: number): void {
    this.#body.push([0x20, ...unsigned(local)]);
  }
  set(local: number): void {
    this.#body.push([0x21, ...unsigned(local)]);
  }
  tee(local: number): void {
    this.#body.push([0x22, ...unsigned(local)]);
  }
  call(index: number): void {
    this.#body.push([0x10, ...unsigned(index)]);
  }
  /** Takes the first operand where the third is not zero, else the second. */
  select(type: WasmType): void {
    this.#body.push([0x1c, 1, typeCodes[type]]);
  }
  drop(): void {
    this.#body.push([0x1a]);
  }
  return(): void {
    this.#body.push([0x0f]);
  }

  block(inside: () => void): void {
    this.#structure([0x02, EMPTY_BLOCK], inside);
  }
  loop(inside: () => void): void {
    this.#structure([0x03, EMPTY_BLOCK], inside);
  }
  /** Takes the condition from the stack. */
  if(then: () => void, otherwise?: () => void): void {
    this.#structure([0x04, EMPTY_BLOCK], () => {
      then();
      if (!otherwise) return;
      this.#body.push([0x05]);
      otherwise();
    });
  }
  #structure(open: readonly number[], inside: () => void): void {
    this.#body.push(open);
    inside();
    this.#body.push([0x0b]);
  }
  branch(depth: number): void {
    this.#body.push([0x0c, ...unsigned(depth)]);
  }
  branchIf(depth: number): void {
    this.#body.push([0x0d, ...unsigned(depth)]);
  }

  /** The function as the code section holds it, size first. */
  finish(): Uint8Array {
    const runs: { type: WasmType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    const head = vector(runs.map(({ type, count }) => [...unsigned(count), typeCodes[type]]));
    const whole = new Bytes();
    whole.push(unsigned(head.length + this.#body.length + 1));
    whole.push(head);
    whole.push(this.#body.view());
    whole.push([0x0b]);
    return whole.view();
  }
}

export interface Signature {
  readonly parameters: readonly WasmType[];
  readonly results: readonly WasmType[];
}

/** A function of the module, known by its index before its body exists. */
export interface FunctionRef extends Signature {
  readonly index: number;
  readonly name: string;
}

interface Definition extends FunctionRef {
  readonly type: number;
  readonly parameterNames: readonly string[];
  code?: Uint8Array;
}

const LARGEST_MEMORY_PAGES = 65536;
const HAS_MAXIMUM = 0x01;
const SHARED = 0x02;

/** Functions over one imported memory ("env", "memory"), with exports and a name section. */
export class ModuleWriter {
  readonly #name: string;
  readonly #types: { key: string; bytes: number[] }[] = [];
  readonly #functions: Definition[] = [];
  readonly #exports: { name: string; index: number }[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  /** Reserves a function; `define` gives its body, `exported` its public name. */
  declare(
    name: string, signature: Signature,
    { exported, parameterNames = [] }: {
      exported?: string; parameterNames?: readonly string[];
    } = {},
  ): FunctionRef {
    const { parameters, results } = signature;
    const index = this.#functions.length;
    const codes = (types: readonly WasmType[]): number[] =>
      vector(types.map((t) => [typeCodes[t]]));
    const bytes = [FUNCTION_TYPE, ...codes(parameters), ...codes(results)];
    const key = bytes.join();
    let type = this.#types.findIndex((t) => t.key === key);
    if (type < 0) type = this.#types.push({ key, bytes }) - 1;
    const made = { index, name, parameters, results, type, parameterNames };
    this.#functions.push(made);
    if (exported !== undefined) this.#exports.push({ name: exported, index });
    return made;
  }

  define(ref: FunctionRef, writer: FunctionWriter): void {
    (this.#functions[ref.index] as Definition).code = writer.finish();
  }

  finish(): Uint8Array {
    const out = new Bytes();
    const section = (id: number, content: readonly number[]): void => {
      out.push([id, ...unsigned(content.length)]);
      out.push(content);
    };
    out.push([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    // The import comes at a fixed place of fixed size, before anything of varying length but the
    // types, so that `shareMemory` can turn the one byte that says "shared".
    section(1, vector(this.#types.map((t) => t.bytes)));
    const limits = [HAS_MAXIMUM, ...padded(1, 5), ...padded(LARGEST_MEMORY_PAGES, 5)];
    section(2, [1, ...text("env"), ...text("memory"), 0x02, ...limits]);
    section(3, vector(this.#functions.map((f) => unsigned(f.type))));
    section(7, vector(this.#exports.map((e) => [...text(e.name), 0x00, ...unsigned(e.index)])));
    const bodies = new Bytes();
    bodies.push(unsigned(this.#functions.length));
    for (const f of this.#functions) {
      if (!f.code) throw new InternalError(`WASM function ${f.name} is declared but not defined`);
      bodies.push(f.code);
    }
    out.push([10, ...unsigned(bodies.length)]);
    out.push(bodies.view());
    section(0, this.#names());
    return out.view().slice();
  }

  /** Custom section "name": module, functions, parameters. */
  #names(): number[] {
    const part = (id: number, content: readonly number[]): number[] =>
      [id, ...unsigned(content.length), ...content];
    const functions = this.#functions.map((f) => [...unsigned(f.index), ...text(f.name)]);
    const locals = this.#functions.filter((f) => f.parameterNames.length > 0).map((f) => [
      ...unsigned(f.index),
      ...vector(f.parameterNames.map((name, i) => [...unsigned(i), ...text(name)])),
    ]);
    return [
      ...text("name"), ...part(0, text(this.#name)), ...part(1, vector(functions)),
      ...part(2, vector(locals)),
    ];
  }
}

/**
 * A copy of a module made by `ModuleWriter` that imports shared memory instead of private memory.
 * @throws InternalError when the bytes do not start as `ModuleWriter` writes them
 */
export function shareMemory(module: Uint8Array): Uint8Array {
  const copy = module.slice();
  let at = 8;
  let size = 0;
  const readSize = (): void => {
    size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = copy[at++] ?? 0;
      size += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) return;
    }
  };
  if (copy[at++] !== 1) throw new InternalError("a WASM module that does not start with its types");
  readSize();
  at += size;
  const expected = [1, ...text("env"), ...text("memory"), 0x02, HAS_MAXIMUM];
  if (copy[at++] !== 2) throw new InternalError("a WASM module whose second section is no import");
  readSize();
  if (!expected.every((byte, i) => copy[at + i] === byte)) {
    throw new InternalError("a WASM module that does not import env.memory with a maximum");
  }
  copy[at + expected.length - 1] = HAS_MAXIMUM | SHARED;
  return copy;
}
