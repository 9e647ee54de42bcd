/**
 * GFLOP/s of the kernels that the WASM emitter makes for products and convolutions, beside what
 * the same core reaches in the same run on f32x4 multiply and add in registers. Time is that of
 * the processor, and of several rounds the best counts, because other programs disturb and nothing
 * speeds up. One JSON line comes last.
 *
 *     npx esbuild test/bench/gemm.bench.ts --bundle --packages=external --platform=node \
 *       --format=esm --outfile=dist/bench.mjs && node dist/bench.mjs [part of a case's name]
 */
import { emitWasm } from "../../compiler/emit/wasm/emit.ts";
import type { Expr } from "../../compiler/kernels/expr.ts";
import type { Axis, Kernel } from "../../compiler/kernels/kernel.ts";
import { ExprPool, flatten } from "../../compiler/kernels/pool.ts";
import type { Device } from "../../runtime/device/device.ts";
import { openWasmDevice } from "../../runtime/device/wasm/wasmDevice.ts";
import { peakRate } from "./peakRate.ts";

interface Case {
  readonly name: string;
  readonly kernel: Kernel;
  /** Multiplications and additions of one run; elements for kernels without products. */
  readonly work: number;
}

const f32 = "f32" as const;
const argument = (name: string, access: "read" | "write", shape: readonly number[]) =>
  ({ name, storage: f32, access, size: shape.reduce((p, d) => p * d, 1) });
const axesOf = (extents: readonly number[], names: string): Axis[] =>
  extents.map((extent, i) => ({ name: names[i] as string, extent }));

/** y[m, n] = x[m, k] w[k, n], or w[n, k] as fully connected layers have it. */
function product(m: number, n: number, k: number, transposed = false): Case {
  const pool = new ExprPool();
  const [i, j, l] = [pool.axis(0, m), pool.axis(1, n), pool.axis(2, k)];
  const wShape = transposed ? [n, k] : [k, n];
  const kernel: Kernel = {
    name: "product", origin: [], symbols: [],
    arguments: [argument("x", "read", [m, k]), argument("w", "read", wShape),
      argument("y", "write", [m, n])],
    body: {
      kind: "contract", batch: [], m: axesOf([m], "m"), n: axesOf([n], "n"), k: axesOf([k], "k"),
      a: pool.load(0, flatten(pool, [i, l], [m, k]), f32),
      b: pool.load(1, flatten(pool, transposed ? [j, l] : [l, j], wShape), f32),
      store: { buffer: 2, index: flatten(pool, [i, j], [m, n]), value: pool.acc(f32) },
    },
  };
  const name = `product ${m}x${n}x${k}${transposed ? " transposed" : ""}`;
  return { name, kernel, work: 2 * m * n * k };
}

/** 2-d convolution with bias and rectifier: images, channels in, out, output size, taps, stride. */
function conv(
  dims: readonly [number, number, number, number, number, number], groups = 1,
): Case {
  const [images, input, output, size, taps, stride] = dims;
  const pool = new ExprPool();
  const pad = (taps - 1) >> 1;
  const extent = size * stride;
  const [perIn, perOut] = [input / groups, output / groups];
  const extents = [images, groups, perOut, size, size, perIn, taps, taps];
  const [image, group, o, y, x, c, p, q] = extents.map((e, i) => pool.axis(i, e)) as
    [Expr, Expr, Expr, Expr, Expr, Expr, Expr, Expr];
  const at = (position: Expr, tap: Expr): Expr =>
    pool.sub(pool.add(pool.mul(position, pool.const(stride)), tap), pool.const(pad));
  const inside = [[y, p], [x, q]].reduce((all, [position, tap]) =>
    pool.and(all, pool.within(at(position as Expr, tap as Expr), pool.const(0),
      pool.const(extent))), pool.const(1, "bool"));
  const channelIn = pool.add(pool.mul(group, pool.const(perIn)), c);
  const channelOut = pool.add(pool.mul(group, pool.const(perOut)), o);
  const shapes = {
    x: [images, input, extent, extent], w: [output, perIn, taps, taps], bias: [output],
    y: [images, output, size, size],
  };
  const sum = pool.binary("add", pool.acc(f32), pool.load(2, channelOut, f32));
  const kernel: Kernel = {
    name: "conv", origin: [], symbols: [],
    arguments: [argument("x", "read", shapes.x), argument("w", "read", shapes.w),
      argument("bias", "read", shapes.bias), argument("y", "write", shapes.y)],
    body: {
      kind: "contract", batch: axesOf([images, groups], "bg"), m: axesOf([perOut], "o"),
      n: axesOf([size, size], "yx"), k: axesOf([perIn, taps, taps], "cpq"),
      a: pool.load(1, flatten(pool, [channelOut, c, p, q], shapes.w), f32),
      b: pool.guard(inside, pool.load(0,
        flatten(pool, [image, channelIn, at(y, p), at(x, q)], shapes.x), f32), pool.const(0, f32)),
      store: {
        buffer: 3, index: flatten(pool, [image, channelOut, y, x], shapes.y),
        value: pool.binary("max", sum, pool.const(0, f32)),
      },
    },
  };
  const name = `${groups > 1 ? "depthwise" : "conv"} ${images}x${input}->${output} ` +
    `${size}x${size} ${taps}x${taps}${stride > 1 ? `/${stride}` : ""}`;
  return { name, kernel, work: (2 * images * output * size * size * perIn * taps * taps) };
}

/** One elementwise function over a million numbers. */
function map(name: string, f: (pool: ExprPool, x: Expr) => Expr): Case {
  const size = 1 << 20;
  const pool = new ExprPool();
  const i = pool.axis(0, size);
  const kernel: Kernel = {
    name: "map", origin: [], symbols: [],
    arguments: [argument("x", "read", [size]), argument("y", "write", [size])],
    body: {
      kind: "map", axes: axesOf([size], "i"),
      store: { buffer: 1, index: i, value: f(pool, pool.load(0, i, f32)) },
    },
  };
  return { name: `map ${name}`, kernel, work: size };
}

/** Sum or maximum over the rows or columns of a 1024 x 1024 array. */
function reduce(name: string, alongRows: boolean): Case {
  const size = 1024;
  const pool = new ExprPool();
  const [i, j] = [pool.axis(0, size), pool.axis(1, size)];
  const kernel: Kernel = {
    name: "reduce", origin: [], symbols: [],
    arguments: [argument("x", "read", [size, size]), argument("y", "write", [size])],
    body: {
      kind: "reduce", axes: axesOf([size], "i"), reduceAxes: axesOf([size], "r"), op: "sum",
      value: pool.load(0, flatten(pool, alongRows ? [i, j] : [j, i], [size, size]), f32),
      store: { buffer: 1, index: i, value: pool.acc(f32) },
    },
  };
  return { name: `reduce ${name}`, kernel, work: size * size };
}

const cases: readonly Case[] = [
  product(128, 128, 128), product(256, 256, 256), product(512, 512, 512),
  product(1024, 1024, 1024), product(1, 1000, 2048, true), product(1, 1024, 1024),
  product(32, 1000, 2048, true), product(64, 10, 512, true),
  // ResNet-8 on CIFAR-10, one image and sixteen.
  conv([1, 3, 16, 32, 3, 1]), conv([1, 16, 16, 32, 3, 1]), conv([1, 16, 32, 16, 3, 2]),
  conv([1, 32, 32, 16, 3, 1]), conv([1, 64, 64, 8, 3, 1]), conv([16, 64, 64, 8, 3, 1]),
  // ResNet-50 on ImageNet.
  conv([1, 3, 64, 112, 7, 2]), conv([1, 64, 64, 56, 1, 1]), conv([1, 64, 64, 56, 3, 1]),
  conv([1, 64, 256, 56, 1, 1]), conv([1, 128, 128, 28, 3, 1]), conv([1, 256, 256, 14, 3, 1]),
  conv([1, 512, 512, 7, 3, 1]), conv([1, 2048, 512, 7, 1, 1]),
  // MobileNet.
  conv([1, 32, 32, 32, 3, 1], 32), conv([1, 144, 144, 56, 3, 1], 144),
  conv([1, 144, 144, 28, 3, 2], 144), conv([1, 576, 576, 14, 3, 1], 576),
  map("relu", (pool, x) => pool.binary("max", x, pool.const(0, f32))),
  map("exp", (pool, x) => pool.unary("exp", x)),
  map("erf", (pool, x) => pool.unary("erf", x)),
  map("tanh", (pool, x) => pool.unary("tanh", x)),
  map("sin", (pool, x) => pool.unary("sin", x)),
  reduce("rows", true), reduce("columns", false),
];

/** Milliseconds that this process has computed; other programs' time does not count. */
const processorTime = (): number => process.cpuUsage().user / 1000;
/** The system counts processor time in ticks of some milliseconds, so a round must be longer. */
const ROUND = 120;

/** Best of some rounds in 10^9 per second, where one call of `run` does `work`. */
async function bestRate(work: number, run: () => Promise<unknown>): Promise<number> {
  // The first round lets the engine replace its quick code by the optimised one.
  let calls = 0;
  const until = processorTime() + ROUND;
  while (processorTime() < until || calls < 3) {
    await run();
    calls++;
  }
  let best = 0;
  for (let round = 0; round < 5; round++) {
    const start = processorTime();
    for (let call = 0; call < calls; call++) await run();
    best = Math.max(best, (work * calls) / (processorTime() - start) / 1e6);
  }
  return best;
}

async function measure(device: Device, { kernel, work }: Case): Promise<number> {
  const [prepared] = await device.prepare([{ kernel }]);
  const buffers = kernel.arguments.map(({ size }) => {
    const buffer = device.allocate(size as number);
    device.write(buffer, Float32Array.from({ length: size as number }, (_, i) => Math.sin(i)));
    return buffer;
  });
  const command = { kernel: prepared as NonNullable<typeof prepared>, buffers, sizes: [] };
  const best = await bestRate(work, () => device.run([command]));
  for (const buffer of buffers) device.free(buffer);
  return best;
}

async function measureAll(): Promise<void> {
  const filter = process.argv[2] ?? "";
  const top = 2 * peakRate(4, "f32x4.mul", "f32x4.add") / 1e9;
  const device = await openWasmDevice();
  console.log(`${device.info.description}; f32x4 multiply and add in registers: ` +
    `${top.toFixed(1)} GFLOP/s`);
  const results: Record<string, number> = { peak: Number(top.toFixed(1)) };
  for (const one of cases.filter(({ name }) => name.includes(filter))) {
    const rate = await measure(device, one);
    results[one.name] = Number(rate.toFixed(2));
    const share = /map|reduce/.test(one.name) ? "Gelem/s" : `${((100 * rate) / top).toFixed(0)} %`;
    console.log(one.name.padEnd(34), rate.toFixed(2).padStart(6), share.padStart(7), " ",
      emitWasm([one.kernel]).strategies[0]);
  }
  console.log(JSON.stringify(results));
  device.destroy();
}

if (process.env.VITEST === undefined) {
  await measureAll();
} else {
  const { bench } = await import("vitest");
  bench("products, convolutions and elementwise kernels as WASM", measureAll, {
    iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0,
  });
}
