/** Random weight matrices and small targets for the tests of crossbar emission. */
import fc from "fast-check";
import type { Crossbars } from "../../../../compiler/emit/crossbar/emit.ts";
import { tensor, type Tensor } from "../../../../compiler/graph/tensor.ts";
import type { WeightMatrix } from "../../../../compiler/partition/units.ts";
import { loadTarget, targetFromJson, targetNames } from "../../../../runtime/files/targetFiles.ts";
import type { HybridTarget } from "../../../../targets/schema.ts";

export const hybridNames = targetNames().filter((n) => loadTarget(n).target.kind === "hybrid");

export function hybridTarget(name: string): HybridTarget {
  const { target } = loadTarget(name);
  if (target.kind !== "hybrid") throw new Error(`${name} is digital`);
  return target;
}

type Json = Record<string, unknown>;

/** A preset with some entries replaced: paths as "encoding.scheme"; figures keep their unit. */
export function changedTarget(
  name: string, changes: Readonly<Record<string, unknown>>,
): HybridTarget {
  const loaded = loadTarget(name);
  const json = structuredClone(loaded.json) as Json;
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const last = keys.pop() as string;
    const parent = keys.reduce<Json>((node, key) => node[key] as Json, json);
    const old = parent[last] as Json | undefined;
    parent[last] = typeof value !== "number" ? value
      : { value, unit: old?.unit ?? "count", source: "assumed: for a test" };
  }
  const { target } = targetFromJson(json, loaded.path);
  if (target.kind !== "hybrid") throw new Error(`${name} is digital`);
  return target;
}

/** A matrix view of a tensor: as a convolution has it, or as either side of a product. */
export type View = "conv" | "right" | "left";

export function matrixOf(
  view: View, groups: number, rowsK: number, colsN: number, values: Tensor["data"],
): WeightMatrix {
  const shape = view === "right" ? [groups, rowsK, colsN] : [groups, colsN, rowsK];
  const [input, output] = view === "right" ? [colsN, 1] : [1, rowsK];
  return {
    tensor: tensor("float32", shape, values), name: "w", groups, rowsK, colsN,
    strides: { group: rowsK * colsN, input, output },
  };
}

/** Values of many magnitudes, zeros and whole columns of zeros among them. */
export const anyMatrix = fc.record({
  view: fc.constantFrom<View>("conv", "right", "left"),
  groups: fc.integer({ min: 1, max: 9 }),
  rowsK: fc.integer({ min: 1, max: 40 }),
  colsN: fc.integer({ min: 1, max: 12 }),
  seed: fc.integer({ min: 1, max: 1e9 }),
}).map(({ view, groups, rowsK, colsN, seed }) => {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const size = groups * rowsK * colsN;
  const values = Float32Array.from({ length: size }, () => {
    const kind = next();
    if (kind < 0.1) return 0;
    return (next() - 0.5) * (kind < 0.2 ? 1e-6 : 2);
  });
  const matrix = matrixOf(view, groups, rowsK, colsN, values);
  if (next() < 0.3) {
    const { group, output } = { group: Math.floor(next() * groups), output: 0 };
    for (let i = 0; i < rowsK; i++) {
      values[group * matrix.strides.group + output + i * matrix.strides.input] = 0;
    }
  }
  return matrix;
});

/** Every way to encode, on arrays small enough that layers spread over many of them. */
export const smallTargets: Readonly<Record<string, HybridTarget>> = {
  "differential-rows, one-sided, 3 bits": changedTarget("neurram-rram",
    { "array.rows": 16, "array.columns": 10 }),
  "differential-rows, two-sided, 3 bits": changedTarget("neurram-rram",
    { "array.rows": 16, "array.columns": 10, "encoding.sides": "two" }),
  "differential-columns, one-sided, continuous": changedTarget("hermes-pcm",
    { "array.rows": 11, "array.columns": 14 }),
  "differential-columns, two-sided, continuous": changedTarget("resistive-trainer-rram",
    { "array.rows": 11, "array.columns": 14, "encoding.sides": "two" }),
  "differential-columns, ternary": changedTarget("ternary-2t2r-rram",
    { "array.rows": 11, "array.columns": 14 }),
  "differential-columns, three slices of 2 bits, digital": changedTarget("isaac-rram", {
    "array.rows": 16, "array.columns": 26, "encoding.scheme": "differential-columns",
    "encoding.slices": 3, "encoding.sides": "one",
  }),
  "differential-columns, two slices, two-sided": changedTarget("isaac-rram", {
    "array.rows": 16, "array.columns": 26, "encoding.scheme": "differential-columns",
    "encoding.slices": 2, "encoding.sides": "two", "encoding.subtract": "analog",
  }),
  "offset, eight slices of 2 bits": changedTarget("isaac-rram",
    { "array.rows": 16, "array.columns": 40 }),
  "offset in the analog domain": changedTarget("isaac-rram",
    { "array.rows": 16, "array.columns": 9, "encoding.slices": 3, "encoding.subtract": "analog" }),
  "offset, one bit": changedTarget("isaac-rram",
    { "array.rows": 16, "array.columns": 9, "encoding.slices": 1, "cell.bits": 1 }),
  "offset, continuous": changedTarget("isaac-rram", {
    "array.rows": 16, "array.columns": 9, "encoding.slices": 1, "cell.bits": "continuous",
  }),
  "one scale for all columns": changedTarget("hermes-pcm",
    { "array.rows": 11, "array.columns": 14, "encoding.perColumnScale": false }),
};

/** All tensors by name, as a reader of the file would have them. */
export function readAll(crossbars: Crossbars): (name: string) => Float32Array {
  const all = new Map(crossbars.tensors.map((t) => {
    const chunks = [...t.chunks()];
    const length = t.shape.reduce((a, b) => a * b, 1);
    const data = chunks[0] as Float32Array;
    if (chunks.length !== 1 || data.length !== length) throw new Error(`${t.name} is not whole`);
    return [t.name, data];
  }));
  return (name) => {
    const found = all.get(name);
    if (!found) throw new Error(`no tensor is called ${name}`);
    return found;
  };
}
