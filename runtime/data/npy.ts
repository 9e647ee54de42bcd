/**
 * NumPy's .npy files, versions 1 to 3, read and written. After the format description in NumPy's
 * documentation (numpy.lib.format): magic, version, length of a header, the header as a Python
 * dictionary literal, the elements.
 *
 * Reads either byte order and either memory order; the result is always row-major. Writes
 * little-endian row-major. Not here: .npz archives, object arrays (they are pickles, that is,
 * programs), complex numbers, text, dates, structures.
 */
import { UserError } from "../../compiler/errors.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { readBytes } from "../files/read.ts";
import {
  bytesOf, checkBooleans, countElements, elementsAt, elementTypes, isElementType, widthOf,
  type ElementType, type NumericArray, type NumericData,
} from "./bytes.ts";

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const maxRank = 64;
const alignment = 64;
const saveAgain = "Write it with numpy.save(path, array).";

interface Header {
  readonly dtype: ElementType;
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
}

/** Reads a file. Throws UserError naming it, what was expected and the remedy. */
export async function readNpy(path: string): Promise<NumericArray> {
  return decodeNpy(await readBytes(path), path);
}

/** Writes a file whole or not at all. */
export async function writeNpy(path: string, array: NumericArray): Promise<void> {
  const { data } = array;
  await writeFileAtomic(path, [encodeHeader(array), bytesOf(data)]);
}

/** The bytes of a .npy file as an array; a view of them where alignment and order allow. */
export function decodeNpy(bytes: Uint8Array, place: string): NumericArray {
  if (!magic.every((byte, i) => bytes[i] === byte)) {
    throw new UserError("not a .npy file: it does not start with \\x93NUMPY", {
      place, remedy: saveAgain,
    });
  }
  const truncated = (what: string): UserError =>
    new UserError(`the file is truncated: ${what}`, { place, remedy: "Make or copy it again." });
  if (bytes.length < 10) throw truncated("it ends inside the preamble");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(6);
  if (version < 1 || version > 3) {
    throw new UserError(`.npy format version ${version} is none of 1, 2, 3`, {
      place, remedy: saveAgain,
    });
  }
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) throw truncated("it ends inside the preamble");
  const headerLength = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const offset = start + headerLength;
  if (offset > bytes.length) {
    throw truncated(`its header should end at byte ${offset}, the file at byte ${bytes.length}`);
  }
  const text = new TextDecoder("latin1").decode(bytes.subarray(start, offset));
  const header = parseHeader(text, place);
  const { dtype, shape, bigEndian } = header;
  const count = countElements(shape, place);
  const needed = count * widthOf(dtype);
  const found = bytes.length - offset;
  if (found < needed) {
    throw truncated(`${dtype} of shape [${shape}] needs ${needed} bytes of data, it has ${found}`);
  }
  if (found > needed) {
    throw new UserError(
      `${found - needed} bytes follow the ${needed} of ${dtype} of shape [${shape}]`,
      { place, remedy: "Save one array in each file." },
    );
  }
  const stored = elementsAt(dtype, bytes, offset, count, bigEndian);
  if (dtype === "b1") checkBooleans(stored, place);
  return { dtype, shape, data: header.fortranOrder ? rowMajor(dtype, stored, shape) : stored };
}

/** The bytes of a .npy file (format 1.0, or 2.0 where the shape needs a longer header). */
export function encodeNpy(array: NumericArray): Uint8Array {
  const header = encodeHeader(array);
  const body = bytesOf(array.data);
  const bytes = new Uint8Array(header.length + body.length);
  bytes.set(header);
  bytes.set(body, header.length);
  return bytes;
}

function encodeHeader({ dtype, shape }: NumericArray): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const order = widthOf(dtype) === 1 ? "|" : "<";
  const text = `{'descr': '${order}${dtype}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const long = text.length + alignment > 0xffff;
  const start = long ? 12 : 10;
  const total = Math.ceil((start + text.length + 1) / alignment) * alignment;
  const bytes = new Uint8Array(total).fill(0x20);
  bytes.set([...magic, long ? 2 : 1, 0]);
  const view = new DataView(bytes.buffer);
  if (long) view.setUint32(8, total - start, true);
  else view.setUint16(8, total - start, true);
  bytes.set(new TextEncoder().encode(text), start);
  bytes[total - 1] = 0x0a;
  return bytes;
}

/** Column-major elements in row-major order. */
function rowMajor(
  dtype: ElementType, stored: NumericData, shape: readonly number[],
): NumericData {
  const data = new elementTypes[dtype](stored.length);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((p, d) => p * d, 1));
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < data.length; to++) {
    data[to] = stored[from] as never;
    // Odometer: step the last axis; on overflow go back to its start and step the one before.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const [size, stride] = [shape[axis] as number, strides[axis] as number];
      index[axis] = (index[axis] as number) + 1;
      from += stride;
      if ((index[axis] as number) < size) break;
      index[axis] = 0;
      from -= size * stride;
    }
  }
  return data;
}

type Literal = string | boolean | readonly number[];

function parseHeader(text: string, place: string): Header {
  const fields = parseDictionary(text, place);
  const descr = fields.get("descr");
  const fortranOrder = fields.get("fortran_order");
  const shape = fields.get("shape");
  if (typeof descr !== "string" || typeof fortranOrder !== "boolean" || !Array.isArray(shape)
    || fields.size !== 3) {
    throw malformed(place, "expected the keys 'descr', 'fortran_order' and 'shape'");
  }
  if (shape.length > maxRank) throw malformed(place, `${shape.length} axes, at most ${maxRank}`);
  return { ...parseDescr(descr, place), fortranOrder, shape };
}

function parseDescr(descr: string, place: string): Pick<Header, "dtype" | "bigEndian"> {
  const [, order = "", name = ""] = /^([<>|=]?)(.*)$/s.exec(descr) ?? [];
  if (name.startsWith("O")) {
    throw new UserError("the array holds Python objects, which are not read", {
      place, remedy: "Convert it first: numpy.save(path, array.astype('float32')).",
    });
  }
  if (!isElementType(name)) {
    throw new UserError(`the element type '${descr}' is not supported`, {
      place,
      remedy: `Convert it with array.astype to one of ${Object.keys(elementTypes).join(", ")}.`,
    });
  }
  return { dtype: name, bigEndian: order === ">" };
}

const malformed = (place: string, why: string): UserError =>
  new UserError(`the .npy header is malformed: ${why}`, { place, remedy: saveAgain });

/** Reads the subset of Python literals that NumPy writes: strings, booleans, tuples of integers. */
function parseDictionary(text: string, place: string): Map<string, Literal> {
  const tokens = tokenize(text, place);
  let at = 0;
  const take = (expected?: string): string => {
    const token = tokens[at++];
    if (token === undefined || (expected !== undefined && token !== expected)) {
      throw malformed(place, `expected ${expected ?? "a value"}, found ${token ?? "its end"}`);
    }
    return token;
  };
  const value = (): Literal => {
    const token = take();
    if (token.startsWith("'")) return token.slice(1);
    if (token === "True" || token === "False") return token === "True";
    if (token === "[") {
      throw new UserError("the array holds structures, which are not read", {
        place, remedy: "Save one field of it in each file: numpy.save(path, array['field']).",
      });
    }
    if (token !== "(") throw malformed(place, `${token} is no value`);
    const sizes: number[] = [];
    while (tokens[at] !== ")") {
      const size = take();
      if (!/^\d+$/.test(size)) throw malformed(place, `${size} is no size`);
      sizes.push(Number(size));
      if (tokens[at] !== ")") take(",");
    }
    take(")");
    return sizes;
  };
  const fields = new Map<string, Literal>();
  take("{");
  while (tokens[at] !== "}") {
    const key = take();
    if (!key.startsWith("'")) throw malformed(place, `${key} is no key`);
    take(":");
    fields.set(key.slice(1), value());
    if (tokens[at] !== "}") take(",");
  }
  take("}");
  if (at !== tokens.length) throw malformed(place, "something follows the dictionary");
  return fields;
}

/** Tokens; a string keeps a leading ' as its mark and loses its quotes. */
function tokenize(text: string, place: string): string[] {
  const pattern = /\s*(?:'([^'\\]*)'|"([^"\\]*)"|(\d+)L?|(True|False)|([{}()[\],:]))/y;
  const end = text.trimEnd().length;
  const tokens: string[] = [];
  while (pattern.lastIndex < end) {
    const at = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null) throw malformed(place, `at "${text.slice(at, at + 12)}"`);
    const [, single, double, digits, boolean, sign] = match;
    const quoted = single ?? double;
    tokens.push(quoted === undefined ? (digits ?? boolean ?? sign ?? "") : `'${quoted}`);
  }
  return tokens;
}
