/**
 * Against ONNX Runtime, where `test/bench/peers` is installed: real models give the same outputs,
 * and what is exported computes there what the original did. A part of that folder's benches.
 */
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { describeNeeding, type Need } from "../../support/notRun.ts";

const folder = new URL("../../bench/peers/", import.meta.url);

const needPeers: Need<string> = existsSync(new URL("node_modules/onnxruntime-web", folder))
  ? { value: folder.href } : {
    missing: {
      what: "ONNX Runtime", reason: "test/bench/peers is not installed",
      install: "cd test/bench/peers && npm ci",
    },
  };

// Named at run time only: the folder has packages that the type checker need not find.
interface Comparison { readonly path: string }
interface RealModels {
  readonly tolerance: number;
  readonly comparisons: readonly Comparison[];
  compare(comparison: Comparison): Promise<{ readonly error: number; readonly calls: number }>;
}
interface Case { readonly name: string }
interface RoundTrip {
  roundTripCases(): Promise<readonly Case[]>;
  roundTrips(cases: readonly Case[]): Promise<{
    readonly counts: Readonly<Record<string, number>>; readonly different: readonly string[];
  }>;
}

interface Operators {
  operatorRows(): readonly unknown[];
  compareOperator(row: unknown): Promise<string | undefined>;
}

describeNeeding(needPeers, "beside ONNX Runtime", (get) => {
  const load = async <T>(file: string): Promise<T> => await import(`${get()}${file}`) as T;

  test("voice activity and text direction models, recurrent state over ten calls", async () => {
    const { comparisons, compare, tolerance } = await load<RealModels>("realModels.ts");
    const small = comparisons.filter(({ path }) => /silero|_cls_/.test(path));
    expect(small.length).toBeGreaterThanOrEqual(8);
    const rows = [];
    for (const comparison of small) rows.push(await compare(comparison));
    expect(rows.filter(({ error }) => !(error <= tolerance))).toEqual([]);
    expect(rows.filter(({ calls }) => calls === 10)).toHaveLength(6);
  });

  test("round trip of the shipped models and a seventh of the conformance tests", async () => {
    const { roundTripCases, roundTrips } = await load<RoundTrip>("roundTrip.ts");
    const cases = (await roundTripCases()).filter(({ name }, i) =>
      !name.startsWith("light") && (name.endsWith(".onnx") || i % 7 === 0));
    const { counts, different } = await roundTrips(cases);
    expect(different).toEqual([]);
    expect(counts.same).toBeGreaterThan(cases.length * 0.8);
  });

  test("operators with the attribute values that the conformance tests leave out", async () => {
    const { operatorRows, compareOperator } = await load<Operators>("operators.ts");
    const rows = operatorRows();
    expect(rows.length).toBeGreaterThan(250);
    const different = [];
    for (const row of rows) different.push(await compareOperator(row));
    expect(different.filter((why) => why !== undefined)).toEqual([]);
  });
});
