/**
 * Reading whole files, of any size that one ArrayBuffer can hold, with errors that name the file.
 * `fs.readFile` alone stops at 2 GiB.
 */
import { open, type FileHandle } from "node:fs/promises";
import { UserError } from "../../compiler/errors.ts";
import { fileFailure } from "./failures.ts";

/** The most bytes that one read call is asked for; the system's own limit lies just under 2 GiB. */
const piece = 2 ** 30;

/** Reads `length` bytes at `position`. Throws UserError when the file ends before. */
export async function readAt(
  handle: FileHandle, path: string, position: number, length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(
      bytes, at, Math.min(piece, length - at), position + at,
    );
    if (bytesRead === 0) {
      throw new UserError(`the file ends at byte ${position + at} of ${position + length}`, {
        place: path, remedy: "Make or download it again.",
      });
    }
    at += bytesRead;
  }
  return bytes;
}

/** All bytes of a file. Throws UserError when it is absent, unreadable or not a regular file. */
export async function readBytes(path: string): Promise<Uint8Array> {
  return withFile(path, async (handle, size) => readAt(handle, path, 0, size));
}

/** Opens a regular file for reading, hands it to `use` with its size, and closes it. */
export async function withFile<T>(
  path: string, use: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new UserError("not a regular file", { place: path, remedy: "Name a file." });
    }
    return await use(handle, stat.size);
  } catch (error) {
    throw fileFailure(error, path);
  } finally {
    await handle?.close();
  }
}

/** A JSON file's value. Throws UserError with the parser's words when it is not JSON. */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readBytes(path), path);
}

/** The value of JSON text in UTF-8. Throws UserError with the parser's words when it is not. */
export function parseJson(bytes: Uint8Array, place: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new UserError(`not valid JSON: ${(error as Error).message}`, {
      place, remedy: "Correct the file.",
    });
  }
}
