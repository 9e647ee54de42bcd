/**
 * ONNX models on the disk: the file itself, and external data beside it, read tensor by tensor
 * straight into the memory that the graph will use (a model of many gigabytes is held once).
 */
import { open, realpath, type FileHandle } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative } from "node:path";
import { UserError } from "../../compiler/errors.ts";
import {
  hasExternalData, loadExternal, type ExternalResolver, type LoadOptions,
} from "../../compiler/onnx/externalData.ts";
import type { Model } from "../../compiler/onnx/model.ts";
import { decodeModel } from "../../compiler/onnx/proto.ts";
import { fileFailure } from "./failures.ts";
import { readAt, readBytes } from "./read.ts";

/**
 * Reads a model with its external data.
 * @throws UserError when a file is missing, damaged, or named outside the model's folder
 */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<Model> {
  const model = decodeModel(await readBytes(path), basename(path));
  if (!hasExternalData(model.graph)) return model;
  const files = new DataFiles(dirname(path));
  try {
    return await loadExternal(model, files.resolver, options);
  } finally {
    await files.close();
  }
}

/** For `inspect`: weights that lie in other files stay there, but for small ones (shapes). */
export const loadModelOutline = (path: string): Promise<Model> =>
  loadModel(path, { atMostBytes: 1 << 16 });

/** External data files, each opened once and only inside one folder. */
class DataFiles {
  readonly #folder: string;
  readonly #open = new Map<string, FileHandle>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  readonly resolver: ExternalResolver = async (location, offset, length) => {
    const path = join(this.#folder, location);
    const handle = this.#open.get(location) ?? await this.#openInside(path);
    this.#open.set(location, handle);
    const { size } = await handle.stat();
    // Checked before memory is reserved: the length is the model's word, not the file's.
    if (offset + length > size) {
      throw new UserError(
        `${location} has ${size} bytes, and a weight is said to end at ${offset + length}`,
        { place: path, remedy: "copy the model and its data file again, together" });
    }
    return readAt(handle, path, offset, length);
  };

  /** A symbolic link must not lead out of the folder either. */
  async #openInside(path: string): Promise<FileHandle> {
    try {
      const [folder, target] = await Promise.all([realpath(this.#folder), realpath(path)]);
      const inside = relative(folder, target);
      if (inside.startsWith("..") || isAbsolute(inside)) {
        throw new UserError("The external data is a link that leaves the model's folder", {
          place: path, remedy: "copy the data file beside the model",
        });
      }
      return await open(target, "r");
    } catch (error) {
      throw fileFailure(error, path);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((handle) => handle.close()));
  }
}
