/** Map kernels: one invocation per point. */
import { storesOf, type MapBody } from "../../kernels/kernel.ts";
import { loadIndices, number } from "./linear.ts";
import type { Entry, Module } from "./module.ts";
import { decodeAxes, onePerPoint } from "./place.ts";
import { Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import { needStore, storeLines } from "./store.ts";

export function emitMap(module: Module, body: MapBody): Entry {
  const { axes } = body;
  const stores = storesOf(body);
  const names = module.locals;
  const root = new Region();
  const schedule = new Schedule(module, names, root);
  const numbered = number(axes, 0);
  const { workgroupSize, grid, flat } = onePerPoint(module, names, numbered, root);
  decodeAxes(module, names, schedule, numbered, flat, root,
    [...stores.map((s) => s.index), ...loadIndices(stores.map((s) => s.value))]);
  for (const store of stores) needStore(schedule, store, root);
  schedule.place();
  for (const store of stores) root.push(...storeLines(module, names, schedule, store));
  const over = axes.map((a) => a.name).join(", ");
  return {
    workgroupSize, grid, body: root.lines,
    schedule: axes.length === 0 ? "map: one element" : `map: one invocation per ${over}`,
  };
}
