/**
 * What each imperfection of a chip costs in accuracy, on real test sets: the digital program, the
 * ideal chip, every imperfection alone and all together, ten chips each (one where no chance is in
 * it), aged a day; all together also on repaired chips. Prints one JSON line per row, so a run that
 * is cut short keeps what it has:
 *
 *     npx esbuild test/bench/accuracy.bench.ts --bundle --packages=external --platform=node \
 *       --format=esm --outfile=dist/accuracy.mjs && node dist/accuracy.mjs [MODEL[=FILE.onnx]..]
 *
 * FILE: the model after fine-tuning, when it is not the one that comes along. Environment: TARGET
 * (neurram-rram), IMAGES (1000), TRIALS (10), ROWS (names by commas; all of them). The tables of
 * `runtime/chip/README.md` are what it printed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileModel } from "../../runtime/api/compileModel.ts";
import { simulate } from "../../runtime/api/simulate.ts";
import { imperfectionNames, type Imperfection } from "../../runtime/chip/imperfections.ts";

const { TARGET: target = "neurram-rram", IMAGES = "1000", TRIALS = "10", ROWS } = process.env;
const DAY = 86400;

/** Imperfections that every chip of a kind has alike. */
const alike = new Set<Imperfection>(["levels", "converters", "wires"]);

/** Drift is the growth of what programming missed, so it is shown with it. */
const rows: readonly (readonly [string, readonly Imperfection[]])[] = [
  ...imperfectionNames.map((name) =>
    [name, name === "drift" ? ["programming", "drift"] as const : [name]] as const),
  ["all", imperfectionNames],
];

async function measure(named: string): Promise<void> {
  const [model, file = `models/${model}.onnx`] = named.split("=") as [string, string?];
  const folder = mkdtempSync(join(tmpdir(), "crosstie-accuracy-"));
  const directory = join(folder, "artifact");
  const dataset = model.startsWith("mnist") ? "mnist" : "cifar10";
  try {
    await compileModel({ model: file, target, analog: "all", out: directory });
    for (const [name, only] of rows) {
      if (ROWS !== undefined && !ROWS.split(",").includes(name)) continue;
      const trials = only.every((one) => alike.has(one)) ? 1 : Number(TRIALS);
      const begin = performance.now();
      const { accuracy, samples } = await simulate({
        directory, data: `${dataset}:test[0:${IMAGES}]`, only, trials, seed: 1, device: "wasm",
        time: DAY, repair: name === "all",
      });
      const { digital, ideal, chip, repaired } = accuracy;
      console.log(JSON.stringify({
        model: named, target, imperfection: name, samples, digital, ideal,
        mean: chip.mean, std: chip.std, trials,
        ...(repaired ? { repaired: repaired.mean, repairedStd: repaired.std,
          recovered: repaired.recovered } : {}),
        seconds: Math.round((performance.now() - begin) / 1000),
      }));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measureAll(): Promise<void> {
  const named = process.argv.slice(2).filter((word) => !word.startsWith("-"));
  const models = named.length > 0 ? named
    : ["mnist-lenet", "cifar10-resnet8", "cifar10-mobilenet", "mnist-vit"];
  for (const model of models) await measure(model);
}

if (process.env.VITEST === undefined) {
  await measureAll();
} else {
  const { bench } = await import("vitest");
  bench("accuracy under every imperfection", measureAll, {
    iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0,
  });
}
