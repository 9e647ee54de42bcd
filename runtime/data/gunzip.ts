/** Unpacks gzip with an upper bound, so that a small hostile file cannot fill the memory. */
import { gunzipSync } from "node:zlib";
import { UserError } from "../../compiler/errors.ts";

/** Throws UserError when the bytes are broken or would unpack to more than `most` bytes. */
export function gunzip(packed: Uint8Array, most: number, place: string): Uint8Array {
  try {
    return gunzipSync(packed, { maxOutputLength: most });
  } catch (error) {
    throw new UserError(`it cannot be unpacked: ${(error as Error).message}`, {
      place, remedy: "Download it again.",
    });
  }
}
