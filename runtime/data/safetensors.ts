/**
 * The .safetensors format: eight bytes with the length of a JSON header, the header, and the
 * tensors without gaps. After the format description of the safetensors project; what is written
 * here opens with its Python package.
 *
 * Tensors are laid out by falling element size and then by name, so that each is aligned and can
 * be viewed without a copy. Every check that the format asks of a reader is made, because such
 * files come from anywhere. Not here: sharded checkpoints, 8-bit floats, conversions
 * (`compiler/graph/half.ts` has those of F16 and BF16).
 */
import { InternalError, UserError } from "../../compiler/errors.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { readAt, withFile } from "../files/read.ts";
import {
  bytesOf, checkBooleans, countElements, elementsAt, widthOf, type ElementType, type NumericData,
} from "./bytes.ts";

/** The format's names of element types, and how the elements are held. F16, BF16: raw bits. */
export const tensorTypes = {
  F64: "f8", F32: "f4", F16: "f2", BF16: "u2",
  I64: "i8", I32: "i4", I16: "i2", I8: "i1",
  U64: "u8", U32: "u4", U16: "u2", U8: "u1", BOOL: "b1",
} as const satisfies Record<string, ElementType>;

export type TensorType = keyof typeof tensorTypes;

/** What the header says of a tensor. */
export interface TensorEntry {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
}

export interface StoredTensor extends TensorEntry {
  readonly data: NumericData;
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A tensor to be written; its elements come in pieces, made when their turn comes. */
export interface TensorSource extends TensorEntry {
  readonly name: string;
  readonly chunks: () => Iterable<NumericData> | AsyncIterable<NumericData>;
}

interface Placed extends TensorEntry {
  /** Byte range within the tensors' part of the file. */
  readonly begin: number;
  readonly end: number;
}

interface Header {
  readonly entries: ReadonlyMap<string, Placed>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format's own limit on the header. */
const maxHeader = 100_000_000;
const metadataKey = "__metadata__";
const makeAgain = "Make or download the file again.";

/** Reads all tensors. Throws UserError when the file is not what the format says. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return withFile(path, async (handle, size) =>
    decodeSafetensors(await readAt(handle, path, 0, size), path));
}

/**
 * Reads the tensors that `wanted` chooses, one at a time, and hands each to `use`: for files
 * larger than one ArrayBuffer, or of which little is needed.
 */
export async function scanSafetensors(
  path: string,
  wanted: (name: string, entry: TensorEntry) => boolean,
  use: (name: string, tensor: StoredTensor) => void | Promise<void>,
): Promise<Readonly<Record<string, string>>> {
  return withFile(path, async (handle, size) => {
    const length = headerLength(await readAt(handle, path, 0, Math.min(8, size)), size, path);
    const start = 8 + length;
    const header = parseHeader(await readAt(handle, path, 8, length), size - start, path);
    for (const [name, entry] of header.entries) {
      if (!wanted(name, entry)) continue;
      const { begin, end } = entry;
      const bytes = await readAt(handle, path, start + begin, end - begin);
      await use(name, tensorAt(bytes, 0, entry, `${path}: ${name}`));
    }
    return header.metadata;
  });
}

/** The tensors of a file's bytes, as views of them wherever their place in the file is aligned. */
export function decodeSafetensors(bytes: Uint8Array, place: string): Safetensors {
  const length = headerLength(bytes, bytes.length, place);
  const start = 8 + length;
  const header = parseHeader(bytes.subarray(8, start), bytes.length - start, place);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of header.entries) {
    tensors.set(name, tensorAt(bytes, start + entry.begin, entry, `${place}: ${name}`));
  }
  return { tensors, metadata: header.metadata };
}

/**
 * Writes a file whole or not at all. Memory holds one chunk at a time, so it may be of any size.
 * Throws UserError for the disk's fault, InternalError when chunks do not add up to their shape.
 */
export async function writeSafetensors(
  path: string, sources: Iterable<TensorSource>, metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = inFileOrder([...sources]);
  await writeFileAtomic(path, content(ordered, metadata));
}

async function* content(
  ordered: readonly TensorSource[], metadata: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(ordered, metadata);
  for (const source of ordered) {
    const expected = byteLength(source, source.name);
    let written = 0;
    for await (const chunk of source.chunks()) {
      written += chunk.byteLength;
      yield bytesOf(chunk);
    }
    if (written !== expected) {
      throw new InternalError(
        `tensor ${source.name} [${source.shape}] needs ${expected} bytes, got ${written}`,
      );
    }
  }
}

/** Falling element size, then name by UTF-16 code units: every tensor starts aligned. */
function inFileOrder(sources: readonly TensorSource[]): TensorSource[] {
  const width = ({ dtype }: TensorEntry): number => widthOf(tensorTypes[dtype]);
  return [...sources].sort((a, b) =>
    width(b) - width(a) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Built by hand because an object would move keys such as "1" to the front. */
function encodeHeader(
  ordered: readonly TensorSource[], metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) {
    fields.push(`${JSON.stringify(metadataKey)}:${JSON.stringify(metadata)}`);
  }
  const names = new Set<string>([metadataKey]);
  let begin = 0;
  for (const source of ordered) {
    const { name, dtype, shape } = source;
    if (names.has(name)) throw new InternalError(`two tensors of one file are named ${name}`);
    names.add(name);
    const end = begin + byteLength(source, name);
    fields.push(`${JSON.stringify(name)}:${
      JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const text = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  return bytes;
}

function byteLength({ dtype, shape }: TensorEntry, place: string): number {
  return countElements(shape, place) * widthOf(tensorTypes[dtype]);
}

function tensorAt(
  bytes: Uint8Array, offset: number, { dtype, shape }: Placed, place: string,
): StoredTensor {
  const type = tensorTypes[dtype];
  const data = elementsAt(type, bytes, offset, countElements(shape, place));
  if (type === "b1") checkBooleans(data, place);
  return { dtype, shape, data };
}

/** Checks the first eight bytes of a file of `size` bytes and returns the header's length. */
function headerLength(bytes: Uint8Array, size: number, place: string): number {
  const bad = (sentence: string): UserError =>
    new UserError(sentence, { place, remedy: makeAgain });
  if (bytes.length < 8) throw bad("not a .safetensors file: it is shorter than 8 bytes");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeader)) {
    throw bad(`not a .safetensors file: its header would have ${length} bytes`);
  }
  if (8 + Number(length) > size) {
    throw bad(`the file is truncated: its header ends at byte ${8n + length}, the file at ${size}`);
  }
  return Number(length);
}

/** Reads the header and checks that its tensors fill `dataLength` bytes with no gap or overlap. */
function parseHeader(bytes: Uint8Array, dataLength: number, place: string): Header {
  const bad = (sentence: string): UserError =>
    new UserError(`the safetensors header is wrong: ${sentence}`, { place, remedy: makeAgain });
  const fields = parseObject(bytes, bad);
  const entries = new Map<string, Placed>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === metadataKey) metadata = parseMetadata(value, bad);
    else entries.set(name, parseEntry(name, value, `${place}: ${name}`, bad));
  }
  const placed = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const [name, { begin, end }] of placed) {
    if (begin > at) throw bad(`bytes ${at} to ${begin}, before ${name}, belong to no tensor`);
    if (begin < at) throw bad(`${name} overlaps another tensor at byte ${begin}`);
    at = end;
  }
  if (at !== dataLength) throw bad(`its tensors take ${at} bytes, the file has ${dataLength}`);
  return { entries: new Map(placed), metadata };
}

type Bad = (sentence: string) => UserError;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseObject(bytes: Uint8Array, bad: Bad): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw bad("it does not start with {");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw bad(`it is not valid JSON (${(error as Error).message})`);
  }
  if (!isObject(value)) throw bad("it is no JSON object");
  return value;
}

function parseMetadata(value: unknown, bad: Bad): Record<string, string> {
  if (!isObject(value) || !Object.values(value).every((v) => typeof v === "string")) {
    throw bad(`${metadataKey} is no table of texts`);
  }
  return value as Record<string, string>;
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);

function parseEntry(name: string, value: unknown, place: string, bad: Bad): Placed {
  if (!isObject(value)) throw bad(`${name} is no object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(tensorTypes, dtype)) {
    throw bad(`${name} has dtype ${JSON.stringify(dtype)}, expected one of ${
      Object.keys(tensorTypes).join(", ")}`);
  }
  if (!isSizes(shape)) throw bad(`the shape of ${name} is no list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw bad(`the data_offsets of ${name} are not two byte positions`);
  }
  const entry = { dtype: dtype as TensorType, shape };
  const [begin, end] = offsets as [number, number];
  const needed = byteLength(entry, place);
  if (end - begin !== needed) {
    const found = end - begin;
    throw bad(`${name}, ${dtype} of shape [${shape}], needs ${needed} bytes, it has ${found}`);
  }
  return { ...entry, begin, end };
}
