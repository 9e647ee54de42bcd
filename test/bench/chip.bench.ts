/**
 * What simulating a chip costs beside the digital program, in ratios of one run (processor time,
 * best of several rounds: other programs disturb and nothing speeds up):
 *
 * - 1,000 products of a 128 x 128 tile, with wires and read noise, beside the same products plain,
 *   and what the processor can do at most of either kind of multiply-add;
 * - a convolution of 16 to 16 channels over 28 x 28 windows with 2 to 16 copies, which divide the
 *   windows or not, beside the same with one;
 * - the residual CIFAR-10 net on 1,000 images with wires and read noise, beside its digital run;
 * - one whole tile of LeNet on ISAAC (115 x 120), solved by ngspice and by the wire solver, with
 *   the share of current that its wires cost. ngspice takes minutes: only without `--quick`.
 *
 *     npx esbuild test/bench/chip.bench.ts --bundle --packages=external --platform=node \
 *       --format=esm --outfile=dist/chipBench.mjs && node dist/chipBench.mjs --quick
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tileCircuit } from "../../compiler/emit/crossbar/netlist.ts";
import { ammeterName, arrayNetlist } from "../../compiler/emit/spice/array.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import { symbol } from "../../compiler/graph/dim.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import { chipSourceOf } from "../../runtime/api/chip.ts";
import { compileModel } from "../../runtime/api/compileModel.ts";
import { simulate } from "../../runtime/api/simulate.ts";
import { BlockChip } from "../../runtime/chip/blockChip.ts";
import type { Imperfection } from "../../runtime/chip/imperfections.ts";
import { solveArray } from "../../runtime/chip/wires/solve.ts";
import { openWasmDevice } from "../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../runtime/execute/session.ts";
import { readArtifact } from "../../runtime/files/artifactFiles.ts";
import { compileBlock, product, testTarget } from "../runtime/chip/blocks.ts";
import { needProgram } from "../support/programs.ts";
import { Random } from "../support/randomGraph.ts";
import { peakRate } from "./peakRate.ts";

const quick = process.argv.includes("--quick");
const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(2)} ms`;

function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function best(
  work: () => Promise<unknown>, [rounds, repeats]: readonly [number, number] = [15, 20],
): Promise<number> {
  for (let i = 0; i < 3 * repeats; i++) await work();
  let least = Infinity;
  for (let round = 0; round < rounds; round++) {
    const begin = processorSeconds();
    for (let i = 0; i < repeats; i++) await work();
    least = Math.min(least, (processorSeconds() - begin) / repeats);
  }
  return least;
}

async function products(): Promise<void> {
  const [SAMPLES, SIZE] = [1000, 128];
  const device = await openWasmDevice();
  const data = Float32Array.from({ length: SAMPLES * SIZE }, (_, i) => Math.sin(i));
  const held = device.allocate(data.length);
  const output = device.allocate(SAMPLES * SIZE);
  device.write(held, data);
  const inputs = new Map([["x", { buffer: held, shape: [SAMPLES, SIZE] }]]);
  const { graph } = product(SIZE, SIZE, (i, o) => Math.cos(5 * i + 2 * o));
  const target = testTarget("hermes-pcm");
  const onChip = async (only: Imperfection[]): Promise<number> => {
    const { block, setting } = compileBlock(graph, target, only);
    const chip = new BlockChip(device, block, setting);
    chip.program(0);
    chip.seeInputs(data);
    chip.setRanges([[50]]);
    let run = 0;
    return best(() => chip.run(inputs, run++, output));
  };
  const { block } = compileBlock(graph, target, []);
  const session = await Session.create(device, buildProgram(block.graph));
  const digital = await best(() => session.dispatch(inputs));
  const rate = (SAMPLES * SIZE ** 2) / digital / 1e9;
  console.log(`${SAMPLES} products of ${SIZE} x ${SIZE}, digital: ${milliseconds(digital)}, ` +
    `${rate.toFixed(1)} G multiply-adds a second`);
  limits();
  const cases: [Imperfection[], Imperfection[]][] = [
    [["wires"], ["wires", "readNoise"]],
    [["wires", "converters"], ["wires", "converters", "readNoise"]],
  ];
  for (const [plain, noisy] of cases) {
    const [a, b] = [await onChip(plain), await onChip(noisy)];
    console.log(`  ${plain.join(", ")}: ${milliseconds(a)}; with read noise ${milliseconds(b)}: ` +
      `${(b / a).toFixed(2)} times as long`);
  }
  device.destroy();
}

/** How near the plain products are to what the processor can do, and the variance's could be. */
function limits(): void {
  const giga = (perSecond: number): string => `${(perSecond / 1e9).toFixed(1)} G`;
  const floats = peakRate(4, "f32x4.mul", "f32x4.add");
  const pairs = peakRate(8, "i32x4.dot_i16x8_s", "i32x4.add");
  console.log(`  multiply-adds a second, nothing else: floats ${giga(floats)}, pairs of 16 bits ` +
    `${giga(pairs)}: ${(floats / pairs).toFixed(2)} of the time`);
}

async function copies(): Promise<void> {
  const [SAMPLES, SIZE, CHANNELS] = [32, 28, 16];
  const device = await openWasmDevice();
  const r = new Random(1);
  const b = new Builder("conv");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), CHANNELS, SIZE, SIZE] });
  const y = b.add("conv", [x, b.constant(r.tensor([CHANNELS, CHANNELS, 3, 3]), "w")], {
    strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1,
  });
  const graph = b.finish([{ name: "y", value: y }]);
  const images = r.tensor([SAMPLES, CHANNELS, SIZE, SIZE]);
  const output = device.allocate(images.data.length);
  const held = device.allocate(images.data.length);
  device.write(held, images.data as Float32Array);
  const inputs = new Map([["x", { buffer: held, shape: images.shape }]]);
  const cases: Imperfection[][] = [["programming"], ["readNoise"], ["converters"]];
  for (const only of cases) {
    let one = 0;
    const said: string[] = [];
    for (const copies of [1, 2, 4, 8, 16, 3, 5]) {
      const { block, setting } = compileBlock(graph, testTarget("neurram-rram"), only, { copies });
      const chip = new BlockChip(device, block, setting);
      chip.program(0);
      chip.seeInputs(images.data as Float32Array);
      chip.setRanges([[50], [50]]);
      const least = await best(() => chip.run(inputs, 1, output), [5, 2]);
      chip.release();
      if (copies === 1) one = least;
      said.push(`${copies}: ${(least / one).toFixed(2)}`);
    }
    console.log(`a convolution with ${only.join()}, ${milliseconds(one)}; by copies ` +
      said.join(", "));
  }
  device.destroy();
}

async function network(folder: string): Promise<void> {
  const out = join(folder, "resnet8");
  await compileModel({
    model: "models/cifar10-resnet8.onnx", target: "neurram-rram", analog: "all", out,
  });
  const { seconds, accuracy } = await simulate({
    directory: out, data: "cifar10:test[0:1000]", trials: 1, seed: 1, device: "wasm",
    only: ["wires", "readNoise"],
  });
  const ratio = (seconds.chip / seconds.digital).toFixed(2);
  console.log(`residual CIFAR-10 net, 1,000 images: digital ${seconds.digital.toFixed(2)} s, ` +
    `with wires and read noise ${seconds.chip.toFixed(2)} s: ${ratio} times as long ` +
    `(accuracy ${accuracy.digital}, ${accuracy.chip.mean})`);
}

async function wholeTile(folder: string): Promise<void> {
  const ngspice = needProgram("ngspice");
  const out = join(folder, "lenet");
  await compileModel({
    model: "models/mnist-lenet.onnx", target: "isaac-rram", analog: "all", out,
  });
  const source = await chipSourceOf(await readArtifact(out));
  const block = source?.blocks.find(({ crossbar }) => crossbar.id === "a4");
  const tile = block?.crossbar.tiles[0];
  if (!source || !block || !tile) throw new Error("LeNet has no tile a4.tile0 on ISAAC");
  const { config } = block.home;
  const circuit = tileCircuit(config, tile, source.read(tile.conductances));
  const volt = new Float64Array(tile.rows).fill(config.input.readVolt);
  const { outputAmpere } = solveArray(circuit, [volt])[0]!;
  const ideal = new Float64Array(tile.columns);
  circuit.conductance.forEach((g, c) => {
    ideal[c % tile.columns]! += g * volt[Math.floor(c / tile.columns)]!;
  });
  const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);
  console.log(`ISAAC tile ${tile.id}, ${tile.rows} x ${tile.columns}: its wires cost ` +
    `${(100 * (1 - sum(outputAmpere) / sum(ideal))).toFixed(1)} % of the current ` +
    `(${config.array.rowSegmentOhm} and ${config.array.columnSegmentOhm} ohm)`);
  if (quick || !("value" in ngspice)) {
    console.log("  ngspice left out");
    return;
  }
  const file = join(folder, "tile.cir");
  writeFileSync(file, arrayNetlist(circuit, volt, "one whole tile"));
  const text = execFileSync(ngspice.value, ["-b", file], { encoding: "utf8", stdio: "pipe" });
  const found = new Map(Array.from(text.matchAll(/^i\((\w+)\) = (\S+)$/gm), (m) => [m[1], m[2]]));
  const worst = Math.max(...Array.from(outputAmpere, (ampere, j) =>
    Math.abs(ampere / Number(found.get(ammeterName(j))) - 1)));
  console.log(`  ngspice says the same to ${worst.toExponential(1)}`);
  if (!(worst < 1e-6)) throw new Error(`ngspice and the wire solver differ by ${worst}`);
}

async function all(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "crosstie-chip-"));
  try {
    await products();
    await copies();
    await network(folder);
    await wholeTile(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.env.VITEST === undefined) {
  await all();
} else {
  const { bench } = await import("vitest");
  bench("a simulated chip beside the digital program", all, {
    iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0,
  });
}
