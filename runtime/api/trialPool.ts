/**
 * Trials side by side: in threads or, with one worker, here. Results come in the order of the
 * trials, whatever the number of workers.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import { InternalError, UserError } from "../../compiler/errors.ts";
import type { Trial, TrialResult, TrialRunner, TrialSetting } from "./trialRunner.ts";

export interface TrialPoolOptions {
  readonly workers: number;
  /** The bundled worker; found beside this program's own files unless given. */
  readonly workerFile?: string | undefined;
  /** Called as samples are done: trials done, samples of the one that runs, if it runs here. */
  readonly onProgress?: ((trials: number, samples: number) => void) | undefined;
}

/**
 * @param runner runs the trials of one worker
 * @throws UserError when the device cannot be used from threads
 */
export async function runTrials(
  runner: TrialRunner, setting: TrialSetting, trials: readonly Trial[],
  { workers, workerFile, onProgress }: TrialPoolOptions,
): Promise<(TrialResult | undefined)[]> {
  const threads = Math.min(workers, trials.length);
  if (threads <= 1) {
    const results: (TrialResult | undefined)[] = [];
    for (const trial of trials) {
      results.push(await runner.run(trial, (done) => onProgress?.(results.length, done)));
    }
    return results;
  }
  if (setting.device === "webgpu") {
    throw new UserError("trials side by side need a device that threads can open", {
      place: "--workers", remedy: "Use --workers 1, or --device wasm.",
    });
  }
  const bundled = fileURLToPath(new URL("./trials.worker.js", import.meta.url));
  const filename = workerFile ?? bundled;
  if (!existsSync(filename)) throw new InternalError("the worker of trials was not built");
  const pool = new Tinypool({
    filename, workerData: setting, minThreads: threads, maxThreads: threads,
  });
  let done = 0;
  try {
    return await Promise.all(trials.map(async (trial) => {
      const result = await pool.run(trial) as TrialResult | undefined;
      onProgress?.(++done, 0);
      return result;
    }));
  } finally {
    await pool.destroy();
  }
}
