/** The start of kernels in which every invocation has one point of the loop nest to itself. */
import type { Dim } from "../../graph/dim.ts";
import type { Expr } from "../../kernels/expr.ts";
import { isRowMajor, type NumberedAxis } from "./linear.ts";
import { extentOf, type Entry, type Module } from "./module.ts";
import type { Names } from "./names.ts";
import type { Region } from "./region.ts";
import type { Schedule } from "./schedule.ts";

/** Enough to fill the lanes of every GPU, few enough to spread small kernels over its cores. */
const wanted = 64;

export interface Place {
  readonly workgroupSize: number;
  readonly grid: Entry["grid"];
  /** Variable that holds the row-major number of the point, i32; "0" if there is but one. */
  readonly flat: string;
}

/** One invocation per point of `axes`: computes which, and returns early past the last. */
export function onePerPoint(
  module: Module, names: Names, axes: readonly NumberedAxis[], root: Region,
): Place {
  const points = extentOf(axes);
  const real = axes.filter((a) => a.extent !== 1);
  if (points === 1) return { workgroupSize: 1, grid: [], flat: "0" };
  const flat = names.fresh((real.length === 1 && real[0]?.name) || "element", "element");
  const workgroupSize = Math.min(wanted, module.profile.workgroupInvocations);
  const grid = [{ size: points, per: workgroupSize }];
  const isLine = module.isLine(grid);
  let place = module.invocation(grid, workgroupSize);
  if (!isLine) {
    const name = names.fresh("place");
    root.push(`let ${name} = ${place};`);
    place = name;
  }
  if (!isLine || typeof points !== "number" || points % workgroupSize !== 0) {
    const limit = typeof points === "number" ? `${points}u` : `u32(${module.size(points).text})`;
    root.block(`if (${place} >= ${limit})`, ["return;"]);
  }
  root.push(`let ${flat} = i32(${place});`);
  return { workgroupSize, grid, flat };
}

/** A variable that holds an axis, and how to compute it; no definition: it exists. */
export interface AxisVariable {
  readonly axis: number;
  readonly name: string;
  readonly definition?: string;
}

/** The axes in terms of their row-major number, the variable `flat`. */
export function axisVariables(
  module: Module, names: Names, axes: readonly NumberedAxis[], flat: string,
): AxisVariable[] {
  const real = axes.filter((a) => a.extent !== 1);
  if (real.length === 1) return [{ axis: (real[0] as NumberedAxis).axis, name: flat }];
  return real.map(({ axis, name, extent }, i) => {
    const below = extentOf(real.slice(i + 1));
    const quotient = below === 1 ? flat : `${flat} / ${divisor(module, below)}`;
    const definition = i === 0 ? quotient : `${quotient} % ${divisor(module, extent)}`;
    return { axis, name: names.fresh(name, "axis"), definition };
  });
}

/**
 * Makes the axes variables of `region`, computed from their row-major number `flat` where they are
 * used. Of `wholes`, those that are that number themselves are replaced by it.
 */
export function decodeAxes(
  module: Module, names: Names, schedule: Schedule, axes: readonly NumberedAxis[], flat: string,
  region: Region, wholes: readonly Expr[] = [],
): void {
  for (const e of wholes) if (isRowMajor(e, axes)) schedule.give(e, flat, region);
  for (const { axis, name, definition } of axisVariables(module, names, axes, flat)) {
    schedule.axis(axis, name, region, definition);
  }
}

/** A size to divide by: never the constant 0, which WGSL refuses even where nothing runs. */
export function divisor(module: Module, size: Dim): string {
  if (size === 0) return "1";
  const text = module.size(size);
  return text.binds === "primary" ? text.text : `(${text.text})`;
}
