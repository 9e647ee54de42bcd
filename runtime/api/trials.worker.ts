/**
 * Runs trials in a thread of a pool. The setting comes once, with the thread; a task is a trial.
 * Its own entry of the build.
 */
import { Tinypool } from "tinypool";
import { TrialRunner, type Trial, type TrialResult, type TrialSetting } from "./trialRunner.ts";

const runner = await TrialRunner.open(Tinypool.workerData as TrialSetting);

export default (trial: Trial): Promise<TrialResult | undefined> => runner.run(trial);
