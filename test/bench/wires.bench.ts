/**
 * How fast arrays with wire resistance are solved, against scipy's sparse direct solver (what
 * badcrossbar calls) and ngspice, all in this one run on the same arrays. One round of everything,
 * because a sparse solve of 512 x 512 takes longer than a benchmark harness would repeat:
 *
 *     npx vitest bench --run --config .config/vitest.config.ts test/bench/wires.bench.ts
 *
 * or, without the harness (`--quick` leaves out what takes more than a few seconds):
 *
 *     npx esbuild test/bench/wires.bench.ts --bundle --packages=external --platform=node \
 *       --format=esm --outfile=dist/bench.mjs && node dist/bench.mjs --quick
 *
 * Needs Debian's python3-scipy and ngspice for the comparisons and says so where they are missing.
 * Fails if a solve at 512 is less than 50 times faster than scipy's, if the effective
 * matrices of 128 x 128 take 0.3 s, or if any two solvers disagree.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ammeterName, arrayNetlist } from "../../compiler/emit/spice/array.ts";
import type { ArrayCircuit } from "../../compiler/emit/spice/arrayCircuit.ts";
import { reduceArray, reduceWithSensitivities } from "../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../runtime/chip/wires/solve.ts";
import { ohm } from "../../targets/units.ts";
import { numpyUniform } from "../runtime/chip/wires/pcg64.ts";
import { needProgram } from "../support/programs.ts";

const quick = process.argv.includes("--quick");
const faults: string[] = [];
const sparseSolve = `
import json, sys, time
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve
n, ohm = int(sys.argv[1]), float(sys.argv[2])
random = np.random.default_rng(1)
G = 1e-6 + 99e-6 * random.random((n, n))
v = 0.2 * random.random(n)
begin = time.perf_counter()
w = np.arange(n * n).reshape(n, n)
b = w + n * n
g = 1 / ohm
rows, cols, values = [], [], []
def join(x, y, c):
    x, y = x.ravel(), y.ravel()
    c = np.broadcast_to(c, x.shape) if np.ndim(c) == 0 else c.ravel()
    for r, k, s in ((x, x, 1), (y, y, 1), (x, y, -1), (y, x, -1)):
        rows.append(r); cols.append(k); values.append(s * c)
join(w, b, G)
join(w[:, 1:], w[:, :-1], g)
join(b[1:], b[:-1], g)
ends = np.concatenate([w[:, 0], b[-1]])
rows.append(ends); cols.append(ends); values.append(np.full(2 * n, g))
A = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))).tocsc()
rhs = np.zeros(2 * n * n)
rhs[w[:, 0]] = g * v
x = spsolve(A, rhs)
print(json.dumps({"seconds": time.perf_counter() - begin, "ampere": list(x[b[-1]] * g)}))
`;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function time<T>(repeats: number, work: () => T): { seconds: number; result: T } {
  let result = work();
  const seconds = median(Array.from({ length: repeats }, () => {
    const begin = performance.now();
    result = work();
    return (performance.now() - begin) / 1000;
  }));
  return { seconds, result };
}

function findPython(): string | undefined {
  return ["python3", "/usr/bin/python3"].find((python) => {
    try {
      execFileSync(python, ["-c", "import scipy.sparse"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
}

function compare(name: string, ours: Float64Array, theirs: readonly number[], tolerance: number) {
  const worst = Math.max(...theirs.map((value, j) => Math.abs(ours[j]! / value - 1)));
  if (!(worst < tolerance)) faults.push(`${name}: outputs differ by ${worst}`);
}

const show = (seconds: number): string =>
  seconds < 1 ? `${(1000 * seconds).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;

function goldenArray(n: number, segment: number): { circuit: ArrayCircuit; volt: Float64Array } {
  const random = numpyUniform(1);
  const conductance = Float64Array.from({ length: n * n }, () => 1e-6 + 99e-6 * random());
  const volt = Float64Array.from({ length: n }, () => 0.2 * random());
  const wires = { rowSegmentOhm: ohm(segment), colSegmentOhm: ohm(segment) };
  return { circuit: { rows: n, cols: n, conductance, ...wires }, volt };
}

function solveOnce(n: number, segment: number, python: string | undefined): void {
  const { circuit, volt } = goldenArray(n, segment);
  const { seconds, result } = time(n < 256 ? 15 : 5, () => solveArray(circuit, [volt])[0]!);
  const name = `${n} x ${n}, ${segment} ohm`;
  const words = [
    name.padEnd(20), show(seconds).padStart(8), `${result.iterations} iterations`,
    `residual ${result.residual.toExponential(1)}`,
  ];
  if (python !== undefined && !(quick && n > 256)) {
    const text = execFileSync(python, ["-c", sparseSolve, `${n}`, `${segment}`], {
      encoding: "utf8",
    });
    const peer = JSON.parse(text) as { seconds: number; ampere: number[] };
    const ratio = peer.seconds / seconds;
    words.push(`scipy ${show(peer.seconds)}: ${ratio.toFixed(0)} times as long`);
    compare(`${name}, scipy`, result.outputAmpere, peer.ampere, 1e-9);
    if (n === 512 && ratio < 50) faults.push(`${name}: only ${ratio} times faster than scipy`);
  }
  console.log(words.join("  "));
}

function againstNgspice(n: number): void {
  const ngspice = needProgram("ngspice");
  if (!("value" in ngspice)) {
    console.log(`ngspice not compared: ${ngspice.missing.reason}`);
    return;
  }
  const { circuit, volt } = goldenArray(n, 1);
  const { seconds, result } = time(15, () => solveArray(circuit, [volt])[0]!);
  const folder = mkdtempSync(join(tmpdir(), "crosstie-bench-"));
  try {
    const file = join(folder, "array.cir");
    writeFileSync(file, arrayNetlist(circuit, volt, "bench"));
    const begin = performance.now();
    const text = execFileSync(ngspice.value, ["-b", file], { encoding: "utf8", stdio: "pipe" });
    const peer = (performance.now() - begin) / 1000;
    const found = new Map(Array.from(text.matchAll(/^i\((\w+)\) = (\S+)$/gm), (m) => [m[1], m[2]]));
    const theirs = Array.from({ length: n }, (_, j) => Number(found.get(ammeterName(j))));
    compare(`${n}, ngspice`, result.outputAmpere, theirs, 1e-6);
    console.log(`${n} x ${n}, 1 ohm`.padEnd(20), ` ngspice ${show(peer)}:`,
      `${(peer / seconds).toFixed(0)} times as long`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compareAll(): void {
  const python = findPython();
  if (python === undefined) console.log("scipy not compared: python3-scipy is not installed");
  console.log("one input vector, tolerance 1e-12");
  for (const n of [64, 128, 256, 512]) {
    for (const segment of [1, 0.1]) solveOnce(n, segment, python);
  }
  for (const n of quick ? [32] : [32, 64]) againstNgspice(n);
  console.log("effective conductance matrix (every column)");
  for (const n of [64, 128, 256, 512]) {
    for (const segment of [1, 100]) {
      const { circuit } = goldenArray(n, segment);
      const { seconds } = time(n < 256 ? 7 : 1, () => reduceArray(circuit));
      console.log(`${n} x ${n}, ${segment} ohm`.padEnd(20), show(seconds).padStart(8));
      if (n === 128 && seconds > 0.3) faults.push(`matrix of 128 x 128 took ${seconds} s`);
    }
  }
  const { circuit } = goldenArray(128, 1);
  const own = time(3, () => reduceWithSensitivities(circuit));
  const adjoint = time(3, () => own.result.adjoint(0, 128));
  console.log(`128 x 128 with own sensitivities ${show(own.seconds)}, all adjoints`,
    show(adjoint.seconds));
  if (faults.length > 0) throw new Error(faults.join("\n"));
}

if (process.env.VITEST === undefined) {
  compareAll();
} else {
  const { bench } = await import("vitest");
  bench("arrays with wire resistance, against scipy and ngspice", compareAll, {
    iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0,
  });
}
