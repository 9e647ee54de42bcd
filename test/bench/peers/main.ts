/**
 * The command line of the comparisons with ONNX Runtime; one JSON line comes last.
 *
 *     npm run real-models [-- part of a path]
 *     npm run round-trip [-- folder of a conformance suite]
 *     npm run operators
 */
import { compareOperator, operatorRows } from "./operators.ts";
import { compare, comparisons, tolerance, type Compared } from "./realModels.ts";
import { roundTripCases, roundTrips } from "./roundTrip.ts";

async function realModels(wanted = ""): Promise<boolean> {
  const rows: Compared[] = [];
  for (const comparison of comparisons.filter(({ path }) => path.includes(wanted))) {
    const row = await compare(comparison);
    rows.push(row);
    const [ours, theirs] = [row.crosstieMs, row.ortMs].map((ms) => ms.toPrecision(3));
    console.log(`${row.model} ${row.inputs}: error ${row.error.toExponential(1)}, ` +
      `crosstie ${ours} ms, ONNX Runtime ${theirs} ms`);
  }
  const worst = Math.max(...rows.map((row) => row.error));
  console.log(JSON.stringify({ bench: "real-models", tolerance, worst, rows }));
  return worst <= tolerance;
}

async function roundTrip(folder?: string): Promise<boolean> {
  const { counts, different } = await roundTrips(await roundTripCases(folder));
  for (const line of different) console.log(line);
  console.log(JSON.stringify({ bench: "round-trip", ...counts, differing: different }));
  return different.length === 0;
}

async function operators(): Promise<boolean> {
  const rows = operatorRows();
  const different: string[] = [];
  for (const row of rows) {
    const why = await compareOperator(row);
    if (why !== undefined) different.push(why);
  }
  for (const line of different) console.log(line);
  console.log(JSON.stringify({ bench: "operators", calls: rows.length, different }));
  return different.length === 0;
}

const commands: Readonly<Record<string, (argument?: string) => Promise<boolean>>> = {
  "real-models": realModels, "round-trip": roundTrip, operators,
};
const [what = "", argument] = process.argv.slice(2);
const isFine = await commands[what]?.(argument);
process.exitCode = isFine ? 0 : 1;
