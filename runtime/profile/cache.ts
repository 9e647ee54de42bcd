/**
 * Profiles that were computed before, one file each under the hash of everything they depend on:
 * model, target, device, options and the program itself. A sweep that was stopped goes on where it
 * was, and one that overlaps another shares its results. Files are written whole or not at all.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../api/version.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import type { LoadedTarget } from "../files/targetFiles.ts";
import type { Configuration, Configured } from "./configuration.ts";
import type { ProfiledModel } from "./model.ts";

/** Changes when what a file holds changes. */
const FORMAT = 1;

/** Where profiles are kept unless a folder is named. */
export const defaultCacheFolder = (): string =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "crosstie", "profile");

export class ProfileCache {
  readonly #folder: string;
  readonly #shared: string;

  /**
   * @param program files whose contents tell one build of the program from another
   * @param options everything else that a profile depends on
   */
  constructor(
    folder: string, model: ProfiledModel, options: object, program: readonly string[],
  ) {
    this.#folder = folder;
    const hash = createHash("sha256");
    hash.update(JSON.stringify({ FORMAT, VERSION, model: model.digest, options }));
    for (const file of program) hash.update(readFileSync(file));
    this.#shared = hash.digest("hex");
  }

  #path(configuration: Configuration, { json, deviceJson }: LoadedTarget): string {
    const text = JSON.stringify({ shared: this.#shared, configuration, json, deviceJson });
    const name = createHash("sha256").update(text).digest("hex");
    return join(this.#folder, name.slice(0, 2), `${name.slice(2)}.json`);
  }

  /** The kept profile; undefined when there is none, or its file is not what it should be. */
  async get(configuration: Configuration, loaded: LoadedTarget): Promise<Configured | undefined> {
    try {
      const text = await readFile(this.#path(configuration, loaded), "utf8");
      const kept = JSON.parse(text) as { format?: unknown; result?: Configured };
      return kept.format === FORMAT ? kept.result : undefined;
    } catch {
      return undefined;
    }
  }

  async set(result: Configured, loaded: LoadedTarget): Promise<void> {
    const { target, figures } = result;
    const path = this.#path({ target, figures }, loaded);
    await writeFileAtomic(path, `${JSON.stringify({ format: FORMAT, result })}\n`);
  }
}
