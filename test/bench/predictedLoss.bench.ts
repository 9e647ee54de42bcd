/**
 * The quality model against Monte Carlo: predicted error power and simulated loss of accuracy of 30
 * partitions of the residual CIFAR-10 net on NeuRRAM with every imperfection on, and the rank
 * correlation between them. Takes minutes:
 *
 *     npx vitest bench --run --config .config/bench.config.ts test/bench/predictedLoss.bench.ts
 *
 * or, without the harness (`--target NAME --images N --chips N --seed N` change the defaults):
 *
 *     npx esbuild test/bench/predictedLoss.bench.ts --bundle --packages=external --platform=node \
 *       --format=esm --outfile=dist/bench.mjs && node dist/bench.mjs
 *
 * Needs CIFAR-10 (`crosstie fetch-data cifar10`). Fails below a rank correlation of 0.8.
 */
import { parseArgs } from "node:util";
import { rankCorrelation } from "../runtime/profile/support.ts";
import { predictedLosses } from "../support/predictedLoss.ts";

async function compare(): Promise<void> {
  const isAlone = process.env.VITEST === undefined;
  const { values } = parseArgs({
    args: isAlone ? process.argv.slice(2) : [],
    options: {
      target: { type: "string", default: "neurram-rram" },
      images: { type: "string", default: "250" },
      chips: { type: "string", default: "2" },
      seed: { type: "string", default: "1" },
      partitions: { type: "string", default: "30" },
    },
  });
  const { target } = values;
  const [partitions, images, chips, seed] = [
    values.partitions, values.images, values.chips, values.seed,
  ].map(Number) as [number, number, number, number];
  console.log(`${partitions} partitions of cifar10-resnet8 on ${target}, ${images} test images, ` +
    `${chips} chips each, seed ${seed}`);
  const found = await predictedLosses({
    model: "models/cifar10-resnet8.onnx", target, partitions, images, chips, seed,
  }, ({ analog, noise, loss }) => {
    console.log(`${analog} analog units: predicted ${(-10 * Math.log10(noise)).toFixed(1)} dB, ` +
      `simulated loss ${(100 * loss).toFixed(1)} points`);
  });
  const rank = rankCorrelation(found.map((p) => p.noise), found.map((p) => p.loss));
  console.log(`rank correlation ${rank.toFixed(3)}`);
  if (rank < 0.8) throw new Error(`rank correlation ${rank} is below 0.8`);
}

if (process.env.VITEST === undefined) {
  await compare();
} else {
  const { bench } = await import("vitest");
  bench("predicted against simulated loss of accuracy", compare, {
    iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0,
  });
}
