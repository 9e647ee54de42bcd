/**
 * Profiles configurations in a thread of a pool. The model and the targets come once, with the
 * thread; a task is a configuration. Its own entry of the build.
 */
import { Tinypool } from "tinypool";
import { highsSolver } from "../partition/highsSolver.ts";
import { profileConfiguration, type Configuration, type Configured } from "./configuration.ts";
import type { LoadedTarget } from "../files/targetFiles.ts";
import type { SweepData } from "./pool.ts";

const { model, targets, options } = Tinypool.workerData as SweepData;

// A solver does not travel between threads; without a capacity none is needed.
const solve = options.capacity === undefined ? undefined : await highsSolver();

export default (configuration: Configuration): Configured => {
  const loaded = targets.get(configuration.target) as LoadedTarget;
  return profileConfiguration(model, loaded, configuration, { ...options, solve });
};
