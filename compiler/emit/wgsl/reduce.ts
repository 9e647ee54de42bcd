/**
 * Reductions, and contractions too small or too thin for tiles, in two forms. Serial: one
 * invocation per output runs the whole loop. Shared: the invocations of a workgroup take turns
 * along the reduction and add up their parts: subgroup by subgroup where the device has those and
 * one output per workgroup, else in a tree, always in the same order.
 */
import type { Dim } from "../../graph/dim.ts";
import type { ReduceKind } from "../../graph/graph.ts";
import type { Expr } from "../../kernels/expr.ts";
import type { ReduceBody, Store } from "../../kernels/kernel.ts";
import {
  accTypeOf, accumulate, acrossSubgroup, identityText, type AccType,
} from "./combine.ts";
import { isContiguousAlong, loadIndices, number, type NumberedAxis } from "./linear.ts";
import { extentOf, type Entry, type Module } from "./module.ts";
import { decodeAxes, onePerPoint } from "./place.ts";
import { Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import { needStore, storeLines } from "./store.ts";
import { binaryText, castText, primary, type Text } from "./text.ts";

/** What is added up: one value, or the product of two. */
export interface Reduction {
  readonly axes: readonly NumberedAxis[];
  readonly reduceAxes: readonly NumberedAxis[];
  readonly op: ReduceKind;
  readonly factors: readonly [Expr] | readonly [Expr, Expr];
  readonly store: Store;
}

/** A workgroup of the shared form: so many neighbouring outputs, each by so many invocations. */
export interface Split {
  readonly outputs: number;
  readonly slices: number;
}

export function emitReduce(module: Module, body: ReduceBody): Entry {
  const { axes, reduceAxes, op, value, store } = body;
  return emitReduction(module, {
    axes: number(axes, 0), reduceAxes: number(reduceAxes, axes.length), op, factors: [value], store,
  });
}

export function emitReduction(module: Module, reduction: Reduction): Entry {
  const split = splitFor(reduction, module.profile.workgroupInvocations);
  return split === undefined ? emitSerial(module, reduction) : emitShared(module, reduction, split);
}

/** From this length on a workgroup shares a reduction. */
const longRow = 128;
/** So many outputs keep a GPU busy with one invocation each, if those read side by side. */
const manyOutputs = 4096;
const unknownExtent = 1024;

const guess = (extent: Dim): number => (typeof extent === "number" ? extent : unknownExtent);

/** How a workgroup shares the reduction; undefined when one invocation per output is better. */
export function splitFor(
  { axes, reduceAxes, factors }: Reduction, invocations: number,
): Split | undefined {
  const length = guess(extentOf(reduceAxes));
  const outputs = guess(extentOf(axes));
  if (length < longRow) return undefined;
  // Lanes side by side should read elements side by side.
  const alongOutputs = factors.some((e) => isContiguousAlong(e, axes));
  if (!alongOutputs && factors.some((e) => isContiguousAlong(e, reduceAxes))) {
    return { outputs: 1, slices: Math.min(length < 1024 ? 64 : 256, floorPower(invocations)) };
  }
  if (outputs >= manyOutputs) return undefined;
  const together = Math.min(16, ceilPower(outputs), floorPower(invocations));
  return { outputs: together, slices: floorPower(Math.min(256, invocations) / together) };
}

const floorPower = (n: number): number => 2 ** Math.floor(Math.log2(n));
const ceilPower = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(n, 1)));

/** The statement that takes the factors at the current point into `acc`. */
function step(
  module: Module, schedule: Schedule, { op, factors }: Reduction, type: AccType, acc: string,
): string {
  const [a, b] = factors.map((e) => castText(schedule.textOf(e), e.type, type, module));
  if (b === undefined) return accumulate(module, op, type, acc, a as Text);
  if (type === "f32") return `${acc} = fma(${a?.text}, ${b.text}, ${acc});`;
  return `${acc} += ${binaryText("mul", type, a as Text, b, module).text};`;
}

function emitSerial(module: Module, reduction: Reduction): Entry {
  const { axes, reduceAxes, op, factors, store } = reduction;
  const names = module.locals;
  const type = accTypeOf(factors[0].type);
  const root = new Region();
  const schedule = new Schedule(module, names, root);
  const place = onePerPoint(module, names, axes, root);
  decodeAxes(module, names, schedule, axes, place.flat, root,
    [store.index, ...loadIndices([store.value])]);
  const loops: { region: Region; head: string }[] = [];
  for (const { axis, name, extent } of reduceAxes) {
    if (extent === 1) continue;
    const region = new Region("loop", loops.at(-1)?.region ?? root);
    const i = names.fresh(name, "axis");
    schedule.axis(axis, i, region);
    loops.push({ region, head: `for (var ${i} = 0; ${i} < ${module.size(extent).text}; ${i}++)` });
  }
  const innermost = loops.at(-1)?.region ?? new Region("body", root);
  const end = new Region("body", root);
  const acc = names.fresh("acc");
  schedule.acc(accText(acc, factors[0]), end);
  for (const e of factors) schedule.need(e, innermost);
  needStore(schedule, store, end);
  schedule.place();
  root.push(`var ${acc} = ${identityText(module, op, factors[0].type)};`);
  innermost.push(step(module, schedule, reduction, type, acc));
  if (loops.length === 0) root.push(...innermost.lines);
  for (const { region, head } of loops.toReversed()) (region.parent as Region).block(head, region);
  root.push(...end.lines, ...storeLines(module, names, schedule, store));
  const over = reduceAxes.map((a) => a.name).join(", ");
  return {
    ...place, body: root.lines, schedule: `${op} over ${over}: one invocation per output`,
  };
}

/** A bool accumulates as an i32 and is read back as a bool. */
const accText = (acc: string, { type }: Expr): string => (type === "bool" ? `(${acc} != 0)` : acc);

function emitShared(module: Module, reduction: Reduction, split: Split): Entry {
  const { axes, reduceAxes, op, factors, store } = reduction;
  const names = module.locals;
  const { outputs, slices } = split;
  const type = accTypeOf(factors[0].type);
  const size = outputs * slices;
  const count = extentOf(axes);
  const grid = [{ size: count, per: outputs }];
  const root = new Region();
  const schedule = new Schedule(module, names, root);
  const parts = module.shared("parts", type, size);
  const thread = names.fresh("thread");
  const output = names.fresh("output");
  const group = module.group(grid);
  root.push(`let ${thread} = i32(${module.lane()});`);
  const slice = outputs === 1 ? thread : names.fresh("slice");
  if (outputs === 1) root.push(`let ${output} = i32(${group});`);
  else {
    root.push(`let ${slice} = ${thread} / ${outputs};`);
    root.push(`let ${output} = i32(${group}) * ${outputs} + ${thread} % ${outputs};`);
  }
  decodeAxes(module, names, schedule, axes, output, root,
    [store.index, ...loadIndices([store.value])]);
  const loop = new Region("loop", root);
  const position = names.fresh(reduceAxes.length === 1 ? reduceAxes[0]?.name ?? "k" : "k", "k");
  decodeAxes(module, names, schedule, reduceAxes, position, loop);
  const end = new Region("branch", root);
  const acc = names.fresh("acc");
  const total = names.fresh("total");
  schedule.acc(accText(total, factors[0]), end);
  for (const e of factors) schedule.need(e, loop);
  needStore(schedule, store, end);
  const hasSubgroups = outputs === 1 && module.profile.features.subgroups;
  if (!hasSubgroups) end.push(`let ${total} = ${parts}[${thread}];`);
  schedule.place();

  const length = module.size(extentOf(reduceAxes)).text;
  root.push(`var ${acc} = ${identityText(module, op, factors[0].type)};`);
  loop.push(step(module, schedule, reduction, type, acc));
  root.block(
    `for (var ${position} = ${slice}; ${position} < ${length}; ${position} += ${slices})`, loop);
  if (hasSubgroups) {
    // The first invocation of a subgroup stands for it, wherever the device put it.
    const part = names.fresh("part");
    const none = identityText(module, op, factors[0].type);
    root.push(
      `let ${part} = ${acrossSubgroup(module, op, type, acc)};`,
      `${parts}[${thread}] = select(${none}, ${part}, subgroupElect());`,
      "workgroupBarrier();",
      `${acc} = ${none};`);
    const { lane, size: step } = module.subgroup();
    const i = names.fresh("i");
    root.block(`for (var ${i} = ${lane}; ${i} < ${slices}u; ${i} += ${step})`,
      [accumulate(module, op, type, acc, primary(`${parts}[${i}]`))]);
    root.push(`let ${total} = ${acrossSubgroup(module, op, type, acc)};`);
  } else {
    root.push(`${parts}[${thread}] = ${acc};`, "workgroupBarrier();");
    const half = names.fresh("half");
    const other = `${parts}[${thread} + ${half}${outputs === 1 ? "" : ` * ${outputs}`}]`;
    root.block(`for (var ${half} = ${slices / 2}; ${half} > 0; ${half} /= 2)`, [
      `if (${slice} < ${half}) {`,
      `  ${accumulate(module, op, type, `${parts}[${thread}]`, primary(other))}`,
      "}",
      "workgroupBarrier();",
    ]);
  }
  end.push(...storeLines(module, names, schedule, store));
  const isExact = typeof count === "number" && count % outputs === 0 && module.isLine(grid);
  const limit = isExact ? "" : ` && ${output} < ${module.size(count).text}`;
  root.block(`if (${slice} == 0${limit})`, end);
  const over = reduceAxes.map((a) => a.name).join(", ");
  return {
    workgroupSize: size, grid, body: root.lines,
    schedule: `${op} over ${over}: workgroups of ${outputs} outputs x ${slices} invocations` +
      (hasSubgroups ? ", by subgroups" : ""),
  };
}
