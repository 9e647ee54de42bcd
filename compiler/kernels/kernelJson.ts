/**
 * Kernels as JSON: the expression DAG as a list of nodes, operands before users, each node once and
 * named by its place in the list; sizes as text. The schema and the writing; `kernelReader.ts`
 * turns JSON back into kernels.
 */
import { z } from "zod";
import { dimToString } from "../graph/dim.ts";
import { binaryOps, unaryOps } from "../graph/graph.ts";
import { showNumber } from "../graph/text.ts";
import { collect, type Expr } from "./expr.ts";
import { rootsOf, type Axis, type Kernel, type KernelBody, type Store } from "./kernel.ts";

const index = z.number().int().min(0);
const type = z.enum(["f32", "i32", "u32", "bool"]);
const special = ["nan", "inf", "-inf", "-0"] as const;

const nodeSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("const"), type, value: z.union([z.number(), z.enum(special)]) }),
  z.strictObject({ kind: z.literal("axis"), axis: index }),
  z.strictObject({ kind: z.literal("size"), dim: z.string() }),
  z.strictObject({ kind: z.literal("load"), type, buffer: index, index }),
  z.strictObject({ kind: z.literal("acc"), type }),
  z.strictObject({ kind: z.literal("unary"), op: z.enum(unaryOps), a: index }),
  z.strictObject({ kind: z.literal("binary"), op: z.enum(binaryOps), a: index, b: index }),
  z.strictObject({ kind: z.literal("select"), cond: index, a: index, b: index }),
  z.strictObject({ kind: z.literal("guard"), cond: index, a: index, b: index }),
  z.strictObject({ kind: z.literal("cast"), type, a: index }),
  z.strictObject({ kind: z.literal("bitcast"), type, a: index }),
]);
export type NodeJson = z.output<typeof nodeSchema>;

const axis = z.strictObject({ name: z.string(), extent: z.string() });
const axes = z.array(axis);
const store = z.strictObject({ buffer: index, index, value: index });

const bodySchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("map"), axes, store, more: z.array(store).optional() }),
  z.strictObject({
    kind: z.literal("reduce"), axes, reduceAxes: axes, op: z.enum(["sum", "max", "min", "prod"]),
    value: index, store,
  }),
  z.strictObject({
    kind: z.literal("contract"), batch: axes, m: axes, n: axes, k: axes, a: index, b: index, store,
  }),
  z.strictObject({
    kind: z.literal("cumulate"), axes, op: z.enum(["sum", "prod"]), value: index, store,
  }),
  z.strictObject({
    kind: z.literal("scatter"), rows: axis, columns: axis, updates: axis,
    op: z.enum(["none", "add", "mul", "max", "min"]),
    initial: index, target: index, update: index, output: index,
  }),
  z.strictObject({
    kind: z.literal("sort"), axes, sorted: axis, descending: z.boolean(), value: index,
    output: index,
  }),
]);
type BodyJson = z.output<typeof bodySchema>;

export const kernelSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_]*$/, "an identifier"),
  origin: z.array(z.string()),
  symbols: z.array(z.string()),
  arguments: z.array(z.strictObject({
    name: z.string(), storage: z.enum(["f32", "i32", "u32", "f16"]),
    access: z.enum(["read", "write"]),
    size: z.string(), range: z.tuple([z.number().int(), z.number().int()]).optional(),
  })),
  nodes: z.array(nodeSchema),
  body: bodySchema,
});
export type KernelJson = z.output<typeof kernelSchema>;

/** How each field of a body is written; the rest of the code treats all bodies alike. */
type FieldKind = "plain" | "axes" | "axis" | "expr" | "store" | "stores";
type BodyKey = KernelBody extends infer B ? B extends unknown ? keyof B : never : never;
const fields: Record<BodyKey, FieldKind> = {
  kind: "plain", op: "plain", descending: "plain", output: "plain",
  axes: "axes", reduceAxes: "axes", batch: "axes", m: "axes", n: "axes", k: "axes",
  rows: "axis", columns: "axis", updates: "axis", sorted: "axis",
  value: "expr", a: "expr", b: "expr", initial: "expr", target: "expr", update: "expr",
  store: "store", more: "stores",
};

type Codec = Record<Exclude<FieldKind, "plain">, (field: never) => unknown>;
/** A body with every field converted by its kind. */
export const convertBody = (body: object, codec: Codec): unknown =>
  Object.fromEntries(Object.entries(body).map(([key, field]) => {
    const kind = fields[key as BodyKey];
    return [key, kind === "plain" ? field : codec[kind](field as never)];
  }));

function nodeToJson(e: Expr, at: (operand: Expr) => number): NodeJson {
  switch (e.kind) {
    case "const": {
      const text = showNumber(e.value);
      const value = special.find((s) => s === text) ?? e.value;
      return { kind: e.kind, type: e.type, value };
    }
    case "axis": return { kind: e.kind, axis: e.axis };
    case "size": return { kind: e.kind, dim: dimToString(e.dim) };
    case "load": return { kind: e.kind, type: e.type, buffer: e.buffer, index: at(e.index) };
    case "acc": return { kind: e.kind, type: e.type };
    case "unary": return { kind: e.kind, op: e.op, a: at(e.a) };
    case "binary": return { kind: e.kind, op: e.op, a: at(e.a), b: at(e.b) };
    case "select": case "guard":
      return { kind: e.kind, cond: at(e.cond), a: at(e.a), b: at(e.b) };
    case "cast": case "bitcast": return { kind: e.kind, type: e.type, a: at(e.a) };
  }
}

export function kernelToJson(kernel: Kernel): KernelJson {
  const nodes = collect(rootsOf(kernel.body));
  const places = new Map(nodes.map((e, i) => [e, i]));
  const at = (e: Expr): number => places.get(e) as number;
  const axisJson = ({ name, extent }: Axis): { name: string; extent: string } =>
    ({ name, extent: dimToString(extent) });
  const storeJson = (s: Store): unknown =>
    ({ buffer: s.buffer, index: at(s.index), value: at(s.value) });
  const body = convertBody(kernel.body, {
    axis: axisJson,
    axes: (list: readonly Axis[]) => list.map(axisJson),
    expr: at, store: storeJson, stores: (list: readonly Store[]) => list.map(storeJson),
  }) as BodyJson;
  return {
    name: kernel.name, origin: [...kernel.origin], symbols: [...kernel.symbols],
    arguments: kernel.arguments.map(({ range, ...a }) =>
      ({ ...a, size: dimToString(a.size), ...(range && { range: [...range] }) })),
    nodes: nodes.map((e) => nodeToJson(e, at)),
    body,
  };
}
