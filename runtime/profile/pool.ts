/**
 * Runs configurations side by side, in threads or, with one job, here. Results come as they are
 * done; their order is the caller's business.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import { InternalError } from "../../compiler/errors.ts";
import type { LoadedTarget } from "../files/targetFiles.ts";
import { highsSolver } from "../partition/highsSolver.ts";
import {
  profileConfiguration, type Configuration, type Configured, type ProfileOptions,
} from "./configuration.ts";
import type { ProfiledModel } from "./model.ts";

/** What every thread starts with: plain data only. */
export interface SweepData {
  readonly model: ProfiledModel;
  readonly targets: ReadonlyMap<string, LoadedTarget>;
  readonly options: Omit<ProfileOptions, "solve">;
}

export interface PoolOptions {
  readonly jobs: number;
  /** The bundled worker; found beside this program's own files unless given. */
  readonly workerFile?: string | undefined;
}

/** The worker beside the bundle, when this is one. */
export function workerFile(): string | undefined {
  const path = fileURLToPath(new URL("./sweep.worker.js", import.meta.url));
  return existsSync(path) ? path : undefined;
}

/**
 * Profiles every configuration.
 * @param onResult called as each is done; a rejection stops the rest
 */
export async function runConfigurations(
  data: SweepData,
  configurations: readonly Configuration[],
  { jobs, workerFile: given }: PoolOptions,
  onResult: (result: Configured) => Promise<void>,
): Promise<void> {
  const threads = Math.min(jobs, configurations.length);
  if (threads <= 1) {
    const { capacity } = data.options;
    const options = {
      ...data.options, solve: capacity === undefined ? undefined : await highsSolver(),
    };
    for (const configuration of configurations) {
      const loaded = data.targets.get(configuration.target) as LoadedTarget;
      await onResult(profileConfiguration(data.model, loaded, configuration, options));
    }
    return;
  }
  const filename = given ?? workerFile();
  if (filename === undefined) throw new InternalError("the sweep's worker was not built");
  const pool = new Tinypool({
    filename, workerData: data, minThreads: threads, maxThreads: threads,
  });
  try {
    await Promise.all(configurations.map(async (configuration) =>
      onResult(await pool.run(configuration) as Configured)));
  } finally {
    await pool.destroy();
  }
}
