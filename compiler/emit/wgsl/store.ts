/** The last statement of most kernels: one element written to its buffer. */
import type { Expr } from "../../kernels/expr.ts";
import type { Store } from "../../kernels/kernel.ts";
import type { Module } from "./module.ts";
import type { Region } from "./region.ts";
import type { Schedule } from "./schedule.ts";

/** Asks for what a store needs in `region`. */
export function needStore(schedule: Schedule, { index, value }: Store, region: Region): void {
  schedule.need(index, region);
  schedule.need(value, region);
}

/** `buffer[index] = value;` A bool is stored as 0 or 1. */
export function storeLine(
  module: Module, schedule: Schedule, { buffer, index, value }: Store,
): string {
  return assignment(module.element(buffer, schedule.text(index)), schedule.text(value), value);
}

export const assignment = (target: string, text: string, { type }: Expr): string =>
  `${target} = ${type === "bool" ? `select(0, 1, ${text})` : text};`;
