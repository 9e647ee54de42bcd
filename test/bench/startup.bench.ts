/**
 * Start-up: `inspect` of a 100 MB model and `compile` of the light ResNet-50, as a person runs them
 * (a new Node process each, on the built program). Time is the whole process's, on the clock and on
 * processors, which other programs disturb less; memory is its peak resident set (Linux's VmHWM)
 * less that of a Node process that does nothing. Several runs, the best counts. One JSON line comes
 * last.
 *
 *     npm run build && npx esbuild test/bench/startup.bench.ts --bundle --packages=external \
 *       --platform=node --format=esm --outfile=dist/bench.mjs && node dist/bench.mjs
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import { writeModel } from "../../compiler/onnx/write.ts";

const rounds = 3;

/** 24 dense layers of 1024 by 1024 weights: 100 MB. */
function largeModel(): Uint8Array {
  const b = new Builder("large");
  let x: Value = b.input("x", { dtype: "float32", shape: [1, 1024] });
  for (let layer = 0; layer < 24; layer++) {
    const shape = [1024, 1024];
    const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 7919) % 997) / 997);
    const weights = b.constant(tensor("float32", shape, data), `w${layer}`);
    x = b.max(b.dot(x, weights, 0, 1), b.full(x, 0));
  }
  return writeModel(b.finish([{ name: "y", value: x }]));
}

interface Measured {
  /** Seconds of wall clock, from start to exit. */
  readonly seconds: number;
  /** Seconds of all its threads on processors. */
  readonly processorSeconds: number;
  /** Peak resident set, in bytes. */
  readonly peak: number;
}

/** What a process tells of itself when it exits; maxRSS would count its parent's memory too. */
const hookText = `process.on("exit", () => {
  const fs = require("fs");
  const [, peak] = /VmHWM:\\s*(\\d+) kB/.exec(fs.readFileSync("/proc/self/status", "utf8"));
  const { user, system } = process.cpuUsage();
  fs.writeSync(2, "\\nmeasured " + peak * 1024 + " " + (user + system) / 1e6);
});`;

function measure(words: readonly string[]): Measured {
  const hook = join(folder, "peak.cjs");
  writeFileSync(hook, hookText);
  const runs = Array.from({ length: rounds }, (): Measured => {
    const start = performance.now();
    const { status, stderr } = spawnSync(process.execPath, ["--require", hook, ...words],
      { encoding: "utf8" });
    const seconds = (performance.now() - start) / 1000;
    if (status !== 0) throw new Error(`${words.join(" ")} failed: ${stderr}`);
    const [, peak, processorSeconds] = /measured (\d+) (\S+)/.exec(stderr) ?? [];
    return { seconds, peak: Number(peak), processorSeconds: Number(processorSeconds) };
  });
  const best = (key: keyof Measured): number => Math.min(...runs.map((run) => run[key]));
  return {
    seconds: best("seconds"), processorSeconds: best("processorSeconds"), peak: best("peak"),
  };
}

const folder = mkdtempSync(join(tmpdir(), "crosstie-startup-"));
try {
  const path = join(folder, "large.onnx");
  writeFileSync(path, largeModel());
  const bytes = statSync(path).size;
  const program = "dist/crosstie.js";
  const nothing = measure(["--eval", "0"]);
  const inspect = measure([program, "inspect", path, "--json"]);
  const compile = measure([program, "compile", "test/fixtures/onnx-light/light_resnet50.onnx",
    "--target", "neurram-rram", "-o", join(folder, "resnet.crosstie"), "--json"]);
  console.log(JSON.stringify({
    bench: "startup", modelBytes: bytes, nodePeak: nothing.peak,
    inspectSeconds: inspect.seconds, inspectProcessorSeconds: inspect.processorSeconds,
    inspectMemoryOverSize: (inspect.peak - nothing.peak) / bytes,
    compileSeconds: compile.seconds, compileProcessorSeconds: compile.processorSeconds,
  }));
} finally {
  rmSync(folder, { recursive: true });
}
