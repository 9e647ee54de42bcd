/**
 * What the search for a placement costs against the number of units, 10 to 2,000: chains with skips
 * and series-parallel graphs, every analog unit also in 2, 4 and 8 copies. Medians of three runs:
 *
 *     npx vitest bench --run --config .config/bench.config.ts test/bench/partition.bench.ts
 *
 * or, without the harness:
 *
 *     npx esbuild test/bench/partition.bench.ts --bundle --packages=external --platform=node \
 *       --format=esm --outfile=dist/bench.mjs && node dist/bench.mjs
 *
 * Fails if ten times the units take more than thirty times as long by cut from 200 units on.
 */
import { paretoFront } from "../../compiler/partition/front.ts";
import { minimumCut } from "../../compiler/partition/minimumCut.ts";
import { minimumProduct } from "../../compiler/partition/parametric.ts";
import { place } from "../../compiler/partition/place.ts";
import { ENERGY, type UnitGraph } from "../../compiler/partition/unitGraph.ts";
import { highsSolver } from "../../runtime/partition/highsSolver.ts";
import { ladder, seriesParallel, withCopies } from "../compiler/partition/randomUnitGraphs.ts";

const SIZES = [10, 20, 50, 100, 200, 500, 1000, 2000] as const;
/** The program takes seconds beyond this, the front too. */
const MOST_BY_PROGRAM = 500;
const MOST_OF_FRONT = 1000;

/** Median seconds of three runs, after one that warms up. */
function seconds(run: () => unknown): number {
  run();
  const all = [1, 2, 3].map(() => {
    const start = performance.now();
    run();
    return (performance.now() - start) / 1000;
  });
  return all.sort((a, b) => a - b)[1] as number;
}

const shown = (s: number | undefined): string =>
  (s === undefined ? "-" : `${(s * 1000).toPrecision(3)} ms`).padStart(12);

async function measure(): Promise<void> {
  const solve = await highsSolver();
  const families: Record<string, (n: number) => UnitGraph> = {
    "chain with skips": (n) => ladder(n, 5), "series-parallel": (n) => seriesParallel(n, 5),
  };
  const faults: string[] = [];
  for (const [family, make] of Object.entries(families)) {
    console.log(`\n${family}\n${["units", "cut", "product", "capacity", "front of 24"]
      .map((word) => word.padStart(12)).join("")}`);
    const byCut = new Map<number, number>();
    for (const n of SIZES) {
      const graph = withCopies(make(n), 8);
      const arrays = Math.ceil(n / 4);
      const cut = seconds(() => minimumCut(graph, ENERGY));
      byCut.set(n, cut);
      const columns = [
        cut,
        seconds(() => minimumProduct(graph)),
        n > MOST_BY_PROGRAM ? undefined : seconds(() => place(graph, "energy", { arrays, solve })),
        n > MOST_OF_FRONT ? undefined : seconds(() => paretoFront(graph, { points: 24 })),
      ];
      console.log(`${String(n).padStart(12)}${columns.map(shown).join("")}`);
    }
    const ratio = (byCut.get(2000) as number) / (byCut.get(200) as number);
    console.log(`cut: ten times the units take ${ratio.toFixed(1)} times as long`);
    if (ratio > 30) faults.push(`${family}: ${ratio} times as long for ten times the units`);
  }
  if (faults.length > 0) throw new Error(faults.join("\n"));
}

if (process.env.VITEST === undefined) {
  await measure();
} else {
  const { bench } = await import("vitest");
  bench("search for a placement", measure, {
    iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0,
  });
}
