/**
 * Scatter, always with the updates in order, so that the result is the same on every run and every
 * device. By column: an invocation owns a column and applies the updates to it one by one. By
 * element: an invocation owns an element and looks for the updates that mean it, which is more work
 * but all of it side by side.
 */
import { mulDims, type Dim } from "../../graph/dim.ts";
import type { ScatterKind } from "../../graph/graph.ts";
import type { ScatterBody } from "../../kernels/kernel.ts";
import { accTypeOf, accumulate, type AccType } from "./combine.ts";
import { number, type NumberedAxis } from "./linear.ts";
import type { Entry, Module } from "./module.ts";
import { divisor, onePerPoint } from "./place.ts";
import { Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import { assignment } from "./store.ts";
import { binaryText, castText, primary, type Text } from "./text.ts";

const kinds = { add: "sum", mul: "prod", max: "max", min: "min" } as const;

/** The statement that takes an update into an element. */
function updated(
  module: Module, op: ScatterKind, type: AccType, old: string, update: Text,
): string {
  if (op === "none") return `${old} = ${update.text};`;
  return accumulate(module, kinds[op], type, old, update);
}

const guess = (extent: Dim): number => (typeof extent === "number" ? extent : 1024);
/** Elements that a GPU may well treat at the same time. */
const lanes = 4096;

export function emitScatter(module: Module, body: ScatterBody): Entry {
  const [rows, columns, updates] = [body.rows, body.columns, body.updates]
    .map(({ extent }) => guess(extent)) as [number, number, number];
  const byColumn = (rows + updates) * Math.ceil(columns / lanes);
  const byElement = updates * Math.ceil((rows * columns) / lanes);
  return byElement < byColumn ? emitByElement(module, body) : emitByColumn(module, body);
}

/** i32 row of an update, within [0, rows) where it counts. */
function inRange(module: Module, target: string, rows: Dim): string {
  return `0 <= ${target} && ${target} < ${module.size(rows).text}`;
}

function emitByColumn(module: Module, body: ScatterBody): Entry {
  const { rows, columns, updates, op, initial, target, update, output } = body;
  const names = module.locals;
  const type = accTypeOf(update.type);
  const root = new Region();
  const numbered = number([rows, columns, updates], 0);
  const point = onePerPoint(module, names, [numbered[1] as NumberedAxis], root);
  const column = point.flat;
  const width = module.size(columns.extent);
  const at = (row: string): string => (columns.extent === 1 ? row
    : `${row} * ${width.binds === "sum" ? `(${width.text})` : width.text} + ${column}`);

  const start = new Region("loop", root);
  const row = names.fresh(rows.name, "row");
  const first = new Schedule(module, names, root);
  first.axis(0, row, start);
  first.axis(1, column, root);
  first.need(initial, start);
  first.place();
  const begin = castText(first.textOf(initial), initial.type, type, module);
  start.push(...assignment(names, module.element(output, at(row)), begin.text));
  root.block(`for (var ${row} = 0; ${row} < ${module.size(rows.extent).text}; ${row}++)`, start);

  const loop = new Region("loop", root);
  const taken = new Region("branch", loop);
  const u = names.fresh(updates.name, "update");
  const into = names.fresh("target_row");
  const second = new Schedule(module, names, root);
  second.axis(1, column, root);
  second.axis(2, u, loop);
  second.need(target, loop);
  second.need(update, taken);
  second.place();
  const next = castText(second.textOf(update), update.type, type, module);
  loop.push(`let ${into} = ${castText(second.textOf(target), target.type, "i32", module).text};`);
  const place = names.fresh("place");
  const element = module.element(output, place);
  taken.push(
    `let ${place} = ${at(into)};`, updated(module, op, type, element, next));
  loop.block(`if (${inRange(module, into, rows.extent)})`, taken);
  root.block(`for (var ${u} = 0; ${u} < ${module.size(updates.extent).text}; ${u}++)`, loop);
  return {
    ...point, body: root.lines, schedule: `scatter (${op}): one invocation per ${columns.name}`,
  };
}

function emitByElement(module: Module, body: ScatterBody): Entry {
  const { rows, columns, updates, op, initial, target, update, output } = body;
  const names = module.locals;
  const type = accTypeOf(update.type);
  const root = new Region();
  const elements = { name: "element", extent: mulDims(rows.extent, columns.extent), axis: -1 };
  const place = onePerPoint(module, names, [elements], root);
  const isRow = columns.extent === 1;
  const per = divisor(module, columns.extent);
  const row = isRow ? place.flat : names.fresh(rows.name, "row");
  const column = isRow ? "0" : names.fresh(columns.name, "column");
  if (!isRow) {
    root.push(`let ${row} = ${place.flat} / ${per};`, `let ${column} = ${place.flat} % ${per};`);
  }
  const loop = new Region("loop", root);
  const taken = new Region("branch", loop);
  const u = names.fresh(updates.name, "update");
  const value = names.fresh("value");
  const schedule = new Schedule(module, names, root);
  schedule.axis(0, row, root);
  schedule.axis(1, column, root);
  schedule.axis(2, u, loop);
  schedule.need(initial, root);
  schedule.need(target, loop);
  schedule.need(update, taken);
  schedule.place();
  const begin = castText(schedule.textOf(initial), initial.type, type, module);
  root.push(`var ${value}: ${type} = ${begin.text};`);
  const next = castText(schedule.textOf(update), update.type, type, module);
  taken.push(updated(module, op, type, value, next));
  const meant = castText(schedule.textOf(target), target.type, "i32", module);
  const isMine = binaryText("eq", "i32", meant, primary(row), module);
  loop.block(`if (${isMine.text})`, taken);
  root.block(`for (var ${u} = 0; ${u} < ${module.size(updates.extent).text}; ${u}++)`, loop);
  root.push(`${module.element(output, place.flat)} = ${value};`);
  return { ...place, body: root.lines, schedule: `scatter (${op}): one invocation per element` };
}
