/**
 * Reads the files of a tar archive that lies in memory (POSIX ustar, the part that npm packages
 * use: regular files with short names). Not here: writing, links, sparse files, long names.
 */
import { UserError } from "../../compiler/errors.ts";

export interface TarEntry {
  readonly name: string;
  /** A view of the archive's bytes. */
  readonly data: Uint8Array;
}

const block = 512;
const remedy = "Fetch the archive again.";

/** The regular files in archive order. Throws UserError when the archive is broken or cut off. */
export function* readTar(bytes: Uint8Array, place: string): Generator<TarEntry> {
  for (let at = 0; at + block <= bytes.length; ) {
    const header = bytes.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) return;
    if (octal(header, 148, 8) !== checksum(header)) {
      throw new UserError(`not a tar header at byte ${at}: its checksum is wrong`, {
        place, remedy,
      });
    }
    const size = octal(header, 124, 12);
    const begin = at + block;
    if (!Number.isSafeInteger(size) || begin + size > bytes.length) {
      throw new UserError(`the archive is cut off inside ${text(header, 0, 100)}`, {
        place, remedy,
      });
    }
    const type = header[156];
    if (type === 0 || type === 0x30) {
      const prefix = text(header, 345, 155);
      const name = text(header, 0, 100);
      yield {
        name: prefix === "" ? name : `${prefix}/${name}`,
        data: bytes.subarray(begin, begin + size),
      };
    }
    at = begin + Math.ceil(size / block) * block;
  }
  throw new UserError("the archive is cut off: its end mark is missing", { place, remedy });
}

function text(header: Uint8Array, at: number, length: number): string {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

/** A number in octal digits; NaN for anything else. */
function octal(header: Uint8Array, at: number, length: number): number {
  const digits = text(header, at, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
}

/** The sum of the header's bytes, with its own eight counted as spaces. */
function checksum(header: Uint8Array): number {
  const own = header.subarray(148, 156);
  const sum = (part: Uint8Array): number => part.reduce((s, byte) => s + byte, 0);
  return sum(header) - sum(own) + 8 * 0x20;
}
