/** The last statement of most kernels: one element written to its buffer. */
import type { Store } from "../../kernels/kernel.ts";
import { accTypeOf } from "./combine.ts";
import type { Module } from "./module.ts";
import type { Names } from "./names.ts";
import type { Region } from "./region.ts";
import type { Schedule } from "./schedule.ts";
import { castText } from "./text.ts";

/** Asks for what a store needs in `region`. */
export function needStore(schedule: Schedule, { index, value }: Store, region: Region): void {
  schedule.need(index, region);
  schedule.need(value, region);
}

/** `buffer[index] = value;` A bool is stored as 0 or 1. */
export function storeLines(
  module: Module, names: Names, schedule: Schedule, { buffer, index, value }: Store,
): string[] {
  const text = castText(schedule.textOf(value), value.type, accTypeOf(value.type), module);
  return assignment(names, module.element(buffer, schedule.text(index)), text.text);
}

const longest = 90;

/** `target = value;`, in two statements where that is too long for a line. */
export function assignment(names: Names, target: string, value: string): string[] {
  const line = `${target} = ${value};`;
  if (line.length <= longest) return [line];
  const result = names.fresh("result");
  return [`let ${result} = ${value};`, `${target} = ${result};`];
}
