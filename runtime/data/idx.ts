/**
 * The idx format of the official MNIST files, plain or gzipped. After the description on the
 * MNIST page: two zero bytes, an element type, the rank, the sizes as big-endian 32-bit integers,
 * the elements (big-endian, last index fastest).
 */
import { UserError } from "../../compiler/errors.ts";
import { readBytes } from "../files/read.ts";
import {
  countElements, elementsAt, widthOf, type ElementType, type NumericArray,
} from "./bytes.ts";
import { gunzip } from "./gunzip.ts";

const typeCodes: Readonly<Record<number, ElementType>> = {
  0x08: "u1", 0x09: "i1", 0x0b: "i2", 0x0c: "i4", 0x0d: "f4", 0x0e: "f8",
};

/** The most that a gzipped file may unpack to; the largest official one has 47 MB. */
const maxUnpacked = 2 ** 30;
const remedy = "Download the official file again.";

/** Reads a file. Throws UserError naming it when it is not idx or not whole. */
export async function readIdx(path: string): Promise<NumericArray> {
  return decodeIdx(await readBytes(path), path);
}

export function decodeIdx(packed: Uint8Array, place: string): NumericArray {
  const gzipped = packed[0] === 0x1f && packed[1] === 0x8b;
  const bytes = gzipped ? gunzip(packed, maxUnpacked, place) : packed;
  const dtype = typeCodes[bytes[2] ?? 0];
  const rank = bytes[3] ?? 0;
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0 || dtype === undefined) {
    throw new UserError("not an idx file: it does not start with 00 00 and an element type", {
      place, remedy,
    });
  }
  const offset = 4 + 4 * rank;
  if (bytes.length < offset) {
    throw new UserError(`the file is truncated inside its ${rank} sizes`, { place, remedy });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const count = countElements(shape, place);
  const [needed, found] = [count * widthOf(dtype), bytes.length - offset];
  if (needed !== found) {
    throw new UserError(
      `${dtype} of shape [${shape}] needs ${needed} bytes of data, the file has ${found}`,
      { place, remedy },
    );
  }
  return { dtype, shape, data: elementsAt(dtype, bytes, offset, count, true) };
}
