/** Running reductions: one invocation per row, which walks along it. */
import type { CumulateBody } from "../../kernels/kernel.ts";
import { accTypeOf, accumulate, identityText } from "./combine.ts";
import { number, type NumberedAxis } from "./linear.ts";
import type { Entry, Module } from "./module.ts";
import { decodeAxes, onePerPoint } from "./place.ts";
import { Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import { needStore, storeLines } from "./store.ts";
import { castText } from "./text.ts";

export function emitCumulate(module: Module, { axes, op, value, store }: CumulateBody): Entry {
  const names = module.locals;
  const type = accTypeOf(value.type);
  const all = number(axes, 0);
  const along = all.at(-1) as NumberedAxis;
  const rows = all.slice(0, -1);
  const root = new Region();
  const schedule = new Schedule(module, names, root);
  const place = onePerPoint(module, names, rows, root);
  decodeAxes(module, names, schedule, rows, place.flat, root);
  const loop = new Region("loop", root);
  const after = new Region("body", loop);
  const i = names.fresh(along.name, "axis");
  const acc = names.fresh("acc");
  schedule.axis(along.axis, i, loop);
  schedule.acc(acc, after);
  schedule.need(value, loop);
  needStore(schedule, store, after);
  schedule.place();
  root.push(`var ${acc} = ${identityText(module, op, type)};`);
  const next = castText(schedule.textOf(value), value.type, type, module);
  loop.push(
    accumulate(module, op, type, acc, next),
    ...after.lines, ...storeLines(module, names, schedule, store),
  );
  root.block(`for (var ${i} = 0; ${i} < ${module.size(along.extent).text}; ${i}++)`, loop);
  return {
    ...place, body: root.lines,
    schedule: `running ${op} along ${along.name}: one invocation per row`,
  };
}
