/**
 * Stable sorting of rows, as indices, by unsigned keys in which NaN comes last. Short rows: every
 * element counts those that come before it, which is its place (n^2 comparisons, all side by side).
 * Long rows: one workgroup per row runs a bitonic network on the indices in the output buffer;
 * every exchange puts the smaller one lower, so that the missing end of a row that is no power of
 * two can be left out, and equal keys are ordered by their indices, which makes it stable.
 */
import type { ScalarType } from "../../kernels/expr.ts";
import type { SortBody } from "../../kernels/kernel.ts";
import { number, type NumberedAxis } from "./linear.ts";
import { extentOf, type Entry, type Module } from "./module.ts";
import { decodeAxes, divisor, onePerPoint } from "./place.ts";
import { Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import type { Text } from "./text.ts";

const shortRow = 1024;

export function emitSort(module: Module, body: SortBody): Entry {
  const { extent } = body.sorted;
  return typeof extent === "number" && extent <= shortRow
    ? emitCounting(module, body) : emitBitonic(module, body);
}

type KeyOf = (value: string, module: Module) => string;

const ascending: Record<ScalarType, KeyOf> = {
  f32: (x, module) => `${module.use("sort_key_f32")}(${x})`,
  i32: (x) => `bitcast<u32>(${x}) ^ 0x80000000u`,
  u32: (x) => x,
  bool: (x) => `select(0u, 1u, ${x})`,
};
const descending: Record<ScalarType, KeyOf> = {
  f32: (x, module) => `${module.use("sort_key_f32_descending")}(${x})`,
  i32: (x) => `bitcast<u32>(${x}) ^ 0x7fffffffu`,
  u32: (x) => `~(${x})`,
  bool: (x) => `select(1u, 0u, ${x})`,
};

/** Defines the function (row, position) -> key and gives its name. */
function keyFunction(module: Module, { axes, sorted, descending: down, value }: SortBody): string {
  const name = module.names.fresh("key_at");
  const names = module.names.child();
  const row = names.fresh("row");
  const position = names.fresh(sorted.name, "position");
  const region = new Region();
  const schedule = new Schedule(module, names, region);
  decodeAxes(module, names, schedule, number(axes, 0), row, region);
  schedule.axis(axes.length, position, region);
  schedule.need(value, region);
  schedule.place();
  const key = (down ? descending : ascending)[value.type](schedule.text(value), module);
  module.define([
    `fn ${name}(${row}: i32, ${position}: i32) -> u32 {`,
    ...region.lines.map((line) => `  ${line}`),
    `  return ${key};`,
    "}",
  ]);
  return name;
}

const factor = ({ text, binds }: Text): string => (binds === "primary" ? text : `(${text})`);

function emitCounting(module: Module, body: SortBody): Entry {
  const { axes, sorted, output } = body;
  const names = module.locals;
  const root = new Region();
  const keyAt = keyFunction(module, body);
  const all: NumberedAxis[] = number([...axes, sorted], 0);
  const point = onePerPoint(module, names, all, root);
  const n = module.size(sorted.extent);
  const per = divisor(module, sorted.extent);
  const { row, place, key, other, other_key: otherKey, is_first: isFirst, before } =
    names.all("row", "place", "key", "other", "other_key", "is_first", "before");
  root.push(
    `let ${row} = ${point.flat} / ${per};`,
    `let ${place} = ${point.flat} % ${per};`,
    `let ${key} = ${keyAt}(${row}, ${place});`,
    `var ${before} = 0;`,
  );
  root.block(`for (var ${other} = 0; ${other} < ${n.text}; ${other}++)`, [
    `let ${otherKey} = ${keyAt}(${row}, ${other});`,
    `let ${isFirst} = ${otherKey} < ${key} || (${otherKey} == ${key} && ${other} < ${place});`,
    `${before} += select(0, 1, ${isFirst});`,
  ]);
  root.push(`${module.element(output, `${row} * ${factor(n)} + ${before}`)} = ${place};`);
  return {
    ...point, body: root.lines,
    schedule: `sort along ${sorted.name}: every element counts its place`,
  };
}

function emitBitonic(module: Module, body: SortBody): Entry {
  const { axes, sorted, output } = body;
  const names = module.locals;
  const root = new Region();
  const keyAt = keyFunction(module, body);
  const size = 2 ** Math.floor(Math.log2(Math.min(256, module.profile.workgroupInvocations)));
  const rows = extentOf(number(axes, 0));
  const grid = [{ size: rows, per: 1 }];
  const n = module.size(sorted.extent);
  const { thread, row, first, i, length, stride, pair, block, low, high, mirrored } = names.all(
    "thread", "row", "first", "i", "length", "stride", "pair", "block", "low", "high", "mirrored");
  const { a, b, a_key: aKey, b_key: bKey } = names.all("a", "b", "a_key", "b_key");
  const at = (index: string): string => module.element(output, `${first} + ${index}`);
  root.push(
    `let ${thread} = i32(${module.lane()});`,
    `let ${row} = i32(${module.group(grid)});`,
    `let ${first} = ${row} * ${factor(n)};`,
  );
  // A folded grid has workgroups without a row; the condition is the same for all of a group.
  if (!module.isLine(grid)) root.block(`if (${module.size(rows).text} <= ${row})`, ["return;"]);
  root.block(`for (var ${i} = ${thread}; ${i} < ${n.text}; ${i} += ${size})`, [`${at(i)} = ${i};`]);
  root.push("storageBarrier();");
  const exchange = new Region();
  exchange.push(
    `let ${block} = ${pair} / ${stride} * 2 * ${stride};`,
    `let ${low} = ${block} + ${pair} % ${stride};`,
    "// The first pass of a merge meets the mirrored half, which makes both halves ascend.",
    `let ${mirrored} = ${block} + 2 * ${stride} - 1 - ${pair} % ${stride};`,
    `let ${high} = select(${low} + ${stride}, ${mirrored}, 2 * ${stride} == ${length});`,
  );
  exchange.block(`if (${high} < ${n.text})`, [
    `let ${a} = ${at(low)};`,
    `let ${b} = ${at(high)};`,
    `let ${aKey} = ${keyAt}(${row}, ${a});`,
    `let ${bKey} = ${keyAt}(${row}, ${b});`,
    `if (${bKey} < ${aKey} || (${bKey} == ${aKey} && ${b} < ${a})) {`,
    `  ${at(low)} = ${b};`,
    `  ${at(high)} = ${a};`,
    "}",
  ]);
  const pass = new Region();
  const isInRow = `${pair} / ${stride} * ${stride} * 2 < ${n.text}`;
  pass.block(`for (var ${pair} = ${thread}; ${isInRow}; ${pair} += ${size})`, exchange);
  pass.push("storageBarrier();");
  const merge = new Region();
  merge.block(`for (var ${stride} = ${length} / 2; ${stride} > 0; ${stride} /= 2)`, pass);
  root.block(`for (var ${length} = 2; ${length} / 2 < ${n.text}; ${length} *= 2)`, merge);
  return {
    workgroupSize: size, grid, body: root.lines,
    schedule: `sort along ${sorted.name}: one workgroup of ${size} per row`,
  };
}
