/**
 * Decodes protobuf messages by the tables of `schema.ts`, on protobufjs's reader. Byte fields are
 * views of the file (nothing is copied), packed numbers are counted before memory is reserved for
 * them, and nesting is bounded, so a damaged file costs no more than its own size.
 *
 * Not a general protobuf implementation: no groups, no maps, no encoding; and not a judge of what
 * the messages mean, which is `proto.ts`.
 */
import protobuf from "protobufjs/minimal.js";
import type { Reader } from "protobufjs/minimal.js";
import {
  schema, type ArrayKind, type MessageName, type ScalarKind, type Wire,
} from "./schema.ts";

/** Deeper than any exporter nests (graph, node, attribute, ...), shallower than the stack. */
const deepest = 200;

const [varint, fixed64, delimited, fixed32] = [0, 1, 2, 5] as const;

/** @throws Error (any) when the bytes are not such a message. */
export function decodeMessage<M extends MessageName>(name: M, bytes: Uint8Array): Wire<M> {
  // A plain view even where the bytes are a Node Buffer, whose `slice` other readers would use.
  const reader = protobuf.Reader.create(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return message(reader, name, reader.len, 0) as unknown as Wire<M>;
}

const wireTypes: Record<ScalarKind, number> = {
  string: delimited, bytes: delimited, int: varint, float: fixed32,
};

const isScalar = (kind: string): kind is ScalarKind => kind in wireTypes;
const isArray = (kind: string): kind is ArrayKind => kind in elementTypes;

function message(
  reader: Reader, name: MessageName, end: number, depth: number,
): Record<string, unknown> {
  if (depth > deepest) throw new RangeError(`messages nested more than ${deepest} deep`);
  const fields = schema[name] as Record<number, readonly [string, string, string?]>;
  const decoded: Record<string, unknown> = {};
  const arrays = new Map<string, NumberList>();
  for (const [field, kind, many] of Object.values(fields)) {
    if (many) decoded[field] = [];
    else if (isArray(kind)) arrays.set(field, new NumberList(kind));
  }
  while (reader.pos < end) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    const known = fields[tag >>> 3];
    if (!known) {
      reader.skipType(wireType, depth);
      continue;
    }
    const [field, kind, many] = known;
    if (isArray(kind)) {
      (arrays.get(field) as NumberList).read(reader, wireType);
      continue;
    }
    const value = isScalar(kind) ? scalar(reader, kind, wireType, field)
      : nested(reader, kind as MessageName, wireType, field, depth);
    if (many) (decoded[field] as unknown[]).push(value);
    else decoded[field] = value;
  }
  if (reader.pos !== end) throw new RangeError(`a ${name} message runs past its end`);
  for (const [field, list] of arrays) decoded[field] = list.take();
  return decoded;
}

function expectType(actual: number, expected: number, field: string): void {
  if (actual !== expected) {
    throw new TypeError(`field ${field} has wire type ${actual} instead of ${expected}`);
  }
}

function nested(
  reader: Reader, name: MessageName, wireType: number, field: string, depth: number,
): Record<string, unknown> {
  expectType(wireType, delimited, field);
  return message(reader, name, endOfBlock(reader), depth + 1);
}

function endOfBlock(reader: Reader): number {
  const end = reader.uint32() + reader.pos;
  if (end > reader.len) throw new RangeError(`a field of ${end - reader.pos} bytes is cut off`);
  return end;
}

function scalar(
  reader: Reader, kind: ScalarKind, wireType: number, field: string,
): string | Uint8Array | number {
  expectType(wireType, wireTypes[kind], field);
  if (kind === "string") return reader.string();
  if (kind === "bytes") return reader.bytes();
  return kind === "float" ? reader.float() : integer(reader);
}

/** A varint of up to ten bytes as a signed 64-bit number, rounded beyond 2^53. */
function integer(reader: Reader): number {
  const value = reader.int64();
  return typeof value === "number" ? value : value.high * 2 ** 32 + (value.low >>> 0);
}

const elementTypes: Record<ArrayKind, { readonly wire: number; readonly bytes: number }> = {
  ints: { wire: varint, bytes: 0 },
  floats: { wire: fixed32, bytes: 4 },
  doubles: { wire: fixed64, bytes: 8 },
};

/** Numbers of one field, which a file may give packed, one by one, or in several pieces. */
class NumberList {
  readonly #kind: ArrayKind;
  readonly #pieces: ArrayLike<number>[] = [];
  #single: number[] = [];

  constructor(kind: ArrayKind) {
    this.#kind = kind;
  }

  read(reader: Reader, wireType: number): void {
    const { wire } = elementTypes[this.#kind];
    if (wireType === wire) {
      this.#single.push(wire === varint ? integer(reader)
        : wire === fixed32 ? reader.float() : reader.double());
      return;
    }
    expectType(wireType, delimited, this.#kind);
    this.#flush();
    this.#pieces.push(this.#packed(reader, endOfBlock(reader)));
  }

  #packed(reader: Reader, end: number): ArrayLike<number> {
    const { bytes } = elementTypes[this.#kind];
    if (bytes === 0) {
      // Every varint ends with one byte below 128: the count costs one look, not a guess.
      let count = 0;
      for (let at = reader.pos; at < end; at++) if ((reader.buf[at] as number) < 128) count++;
      const values = new Float64Array(count);
      for (let i = 0; i < count; i++) values[i] = integer(reader);
      if (reader.pos !== end) throw new RangeError("packed integers run past their end");
      return values;
    }
    if ((end - reader.pos) % bytes !== 0) throw new RangeError("packed numbers are cut off");
    const block = reader.buf.slice(reader.pos, end).buffer as ArrayBuffer;
    reader.pos = end;
    return bytes === 4 ? new Float32Array(block) : new Float64Array(block);
  }

  #flush(): void {
    if (this.#single.length > 0) this.#pieces.push(this.#single);
    this.#single = [];
  }

  take(): ArrayLike<number> {
    this.#flush();
    const [first, ...rest] = this.#pieces;
    if (!first) return [];
    if (rest.length === 0) return first;
    const all = new Float64Array(this.#pieces.reduce((n, piece) => n + piece.length, 0));
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }
}
