/**
 * Tiled contraction: a workgroup computes a tile of outputs, stepping along k through slabs of both
 * operands that it keeps in workgroup memory; every invocation holds a block of sums. 8 x 8
 * invocations of 4 x 4 outputs is where tfjs, TVM, llama.cpp and ExecuTorch all arrived. Whatever
 * the operands are (padded windows, transposed weights, products), they enter as expressions that
 * are evaluated once per element of a slab.
 */
import type { Dim } from "../../graph/dim.ts";
import type { Expr } from "../../kernels/expr.ts";
import type { Store } from "../../kernels/kernel.ts";
import type { AccType } from "./combine.ts";
import { isContiguousAlong, loadIndices, usesAxis, type NumberedAxis } from "./linear.ts";
import { extentOf, type Entry, type Module } from "./module.ts";
import { axisVariables, decodeAxes, type AxisVariable } from "./place.ts";
import { Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import { needStore, storeLine } from "./store.ts";
import { binaryText, literal, primary, selectText } from "./text.ts";

export interface TilePlan {
  /** Invocations along the rows (m) and columns (n) of a tile. */
  readonly threads: readonly [number, number];
  /** Outputs per invocation along rows and columns; the second is a multiple of 4. */
  readonly block: readonly [number, number];
  /** Steps of k per slab. */
  readonly depth: number;
}

export interface Product {
  readonly batch: readonly NumberedAxis[];
  readonly m: readonly NumberedAxis[];
  readonly n: readonly NumberedAxis[];
  readonly k: readonly NumberedAxis[];
  readonly a: Expr;
  readonly b: Expr;
  readonly store: Store;
}

export const tileSize = ({ threads, block }: TilePlan): readonly [number, number] =>
  [threads[0] * block[0], threads[1] * block[1]];

/** Bytes of workgroup memory of a plan, both slabs with their padding. */
export function tileBytes(plan: TilePlan): number {
  const [rows, columns] = tileSize(plan);
  return 4 * plan.depth * (rows + columns + 2);
}

const vectors: Record<AccType, string> = { f32: "vec4f", i32: "vec4i", u32: "vec4u" };

/** One operand: how the invocations of a workgroup share the loading of its slab. */
interface Slab {
  readonly name: string;
  readonly array: string;
  /** Elements from one k to the next in workgroup memory. */
  readonly pitch: number;
  readonly width: number;
  readonly e: Expr;
  readonly along: readonly NumberedAxis[];
  readonly origin: string;
  /** Lanes run along k, because neighbouring k are neighbours in memory. */
  readonly lanesAlongK: boolean;
}

export function emitTiled(module: Module, product: Product, plan: TilePlan): Entry {
  const { batch, m, n, k, a, b } = product;
  const names = module.locals;
  const type = a.type as AccType;
  const { threads, block, depth } = plan;
  const [rows, columns] = tileSize(plan);
  const [M, N, K] = [extentOf(m), extentOf(n), extentOf(k)];
  const batches = extentOf(batch);
  const grid = [{ size: batches, per: 1 }, { size: M, per: rows }, { size: N, per: columns }];
  const root = new Region();

  const thread = names.fresh("thread");
  root.push(`let ${thread} = i32(${module.lane()});`);
  const tile = names.fresh("tile");
  root.push(`let ${tile} = i32(${module.group(grid)});`);
  const across = ceilText(module, N, columns);
  const down = ceilText(module, M, rows);
  const firstRow = names.fresh("tile_row");
  const firstColumn = names.fresh("tile_column");
  root.push(
    `let ${firstColumn} = ${across === "1" ? "0" : `${tile} % ${across} * ${columns}`};`,
    `let ${firstRow} = ${down === "1" ? "0" : `${over(tile, across)} % ${down} * ${rows}`};`,
  );
  const batchName = names.fresh(batch.length === 1 ? batch[0]?.name ?? "batch" : "batch", "batch");
  if (batches !== 1) root.push(`let ${batchName} = ${over(over(tile, across), down)};`);
  const batchAxes = axisVariables(module, names, batch, batchName)
    .filter(({ axis }) => usesAxis(a, axis) || usesAxis(b, axis));
  for (const { name, definition } of batchAxes) {
    if (definition !== undefined) root.push(`let ${name} = ${definition};`);
  }

  const loop = new Region("loop", root);
  const step = names.fresh("step");
  const slabs = [
    slabOf(module, "a", a, m, k, rows, firstRow, depth),
    slabOf(module, "b", b, n, k, columns, firstColumn, depth),
  ] as const;
  const size = threads[0] * threads[1];
  const isEven = typeof K === "number" && K % depth === 0;
  for (const slab of slabs) {
    loadSlab(module, slab, {
      root, loop, thread, step, size, depth, k, batchAxes, type,
      last: isEven ? undefined : module.size(K).text,
    });
  }
  loop.push("workgroupBarrier();");

  const [sums, inner] = blockProduct(module, slabs, plan, type, thread);
  for (const sum of sums.flat()) root.push(`var ${sum} = ${vectors[type]}();`);
  const depthIndex = names.fresh("i");
  loop.block(`for (var ${depthIndex} = 0; ${depthIndex} < ${depth}; ${depthIndex}++)`,
    inner(depthIndex));
  loop.push("workgroupBarrier();");
  root.block(`for (var ${step} = 0; ${step} < ${module.size(K).text}; ${step} += ${depth})`, loop);

  const finish = finishFunction(module, product, type, batches);
  const row = names.fresh("row");
  const column = names.fresh("column");
  const [rowOf, columnOf] = [`${thread} / ${threads[1]}`, `${thread} % ${threads[1]}`];
  root.push(`let ${row} = ${firstRow} + ${rowOf} * ${block[0]};`);
  root.push(`let ${column} = ${firstColumn} + ${columnOf} * ${block[1]};`);
  const isExact = module.isLine(grid);
  const checks = {
    row: isExact && typeof M === "number" && M % rows === 0 ? undefined : module.size(M).text,
    column: isExact && typeof N === "number" && N % columns === 0 ? undefined : module.size(N).text,
    batch: isExact || batches === 1 ? undefined : module.size(batches).text,
  };
  const j = names.fresh("j");
  const end = storeBlock(sums, { row, column, j, batchName, finish, checks, batches });
  if (checks.batch === undefined) root.push(...end);
  else root.block(`if (${batchName} < ${checks.batch})`, end);
  return {
    workgroupSize: size, grid, body: root.lines,
    schedule: `product ${[batches, M, N, K].join(" x ")} (batch, m, n, k): tiles of ` +
      `${rows} x ${columns}, ${block[0]} x ${block[1]} per invocation, ${depth} deep`,
  };
}

const over = (text: string, divisor: string): string =>
  (divisor === "1" ? text : `${text} / ${divisor}`);

/** Number of tiles along an extent. */
function ceilText(module: Module, extent: Dim, per: number): string {
  if (typeof extent === "number") return String(Math.max(Math.ceil(extent / per), 1));
  return `((${module.size(extent).text} + ${per - 1}) / ${per})`;
}

function slabOf(
  module: Module, name: "a" | "b", e: Expr, along: readonly NumberedAxis[],
  k: readonly NumberedAxis[], width: number, origin: string, depth: number,
): Slab {
  const lanesAlongK = isContiguousAlong(e, k) && !isContiguousAlong(e, along);
  // One element of padding spreads a column of the slab over the banks of workgroup memory.
  const pitch = lanesAlongK ? width + 1 : width;
  const array = module.shared(`slab_${name}`, e.type, depth * pitch,
    `${depth} x ${width}${lanesAlongK ? ", padded" : ""}`);
  return { name, array, pitch, width, e, along, origin, lanesAlongK };
}

interface Loading {
  readonly root: Region;
  readonly loop: Region;
  readonly thread: string;
  readonly step: string;
  readonly size: number;
  readonly depth: number;
  readonly k: readonly NumberedAxis[];
  readonly batchAxes: readonly AxisVariable[];
  readonly type: AccType;
  /** End of k, where it is no multiple of the depth. */
  readonly last: string | undefined;
}

/**
 * Every invocation keeps one coordinate (along its lanes) for all the elements it loads, so that
 * what depends on that coordinate alone is computed once. Rows and columns past the end load
 * something and are never stored; steps past the end of k load zero.
 */
function loadSlab(module: Module, slab: Slab, loading: Loading): void {
  const names = module.locals;
  const { root, loop, thread, step, size, depth, k, batchAxes, type, last } = loading;
  const { name, array, pitch, width, e, along, origin, lanesAlongK } = slab;
  const lanes = lanesAlongK ? depth : width;
  const rounds = (depth * width) / size;
  const stride = size / lanes;
  const each = new Region("loop", loop);
  const round = names.fresh("load");
  // lane: along the lanes; line: across them.
  let [lane, line] = [thread, round];
  if (lanes < size) {
    lane = names.fresh(`${name}_lane`);
    line = names.fresh(`${name}_line`);
    const start = names.fresh(`${name}_start`);
    root.push(`let ${lane} = ${thread} % ${lanes};`, `let ${start} = ${thread} / ${lanes};`);
    each.push(`let ${line} = ${start} + ${round}${times(stride)};`);
  }

  const at = names.fresh(name === "a" ? "m" : "n");
  const kAt = names.fresh(`${name}_k`);
  const schedule = new Schedule(module, names, root);
  if (lanesAlongK) {
    loop.push(`let ${kAt} = ${step} + ${lane};`);
    each.push(`let ${at} = ${origin} + ${line};`);
  } else {
    root.push(`let ${at} = ${origin} + ${lane};`);
    each.push(`let ${kAt} = ${step} + ${line};`);
  }
  decodeAxes(module, names, schedule, along, at, lanesAlongK ? each : root);
  decodeAxes(module, names, schedule, k, kAt, lanesAlongK ? loop : each);
  for (const { axis, name } of batchAxes) schedule.axis(axis, name, root);
  schedule.need(e, each);
  schedule.place();
  const value = schedule.textOf(e);
  const inside = last === undefined ? value : selectText(
    binaryText("lt", "i32", primary(kAt), primary(last), module), value,
    literal(0, type, module));
  const [kInSlab, inLine] = lanesAlongK ? [lane, line] : [line, lane];
  each.push(`${array}[${kInSlab} * ${pitch} + ${inLine}] = ${inside.text};`);
  loop.block(`for (var ${round} = 0; ${round} < ${rounds}; ${round}++)`, each);
}

const times = (factor: number): string => (factor === 1 ? "" : ` * ${factor}`);

/** Names of the sums (rows x vectors of four columns), and the statements of one step of k. */
function blockProduct(
  module: Module, [a, b]: readonly [Slab, Slab], { threads, block }: TilePlan, type: AccType,
  thread: string,
): [string[][], (index: string) => string[]] {
  const names = module.locals;
  const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  const groups = block[1] / 4;
  const sums = range(block[0]).map((r) => range(groups)
    .map((c) => names.fresh(groups === 1 ? `sum_${r}` : `sum_${r}_${c}`)));
  const [aAt, bAt] = [names.fresh("a_at"), names.fresh("b_at")];
  const lefts = range(block[0]).map((r) => names.fresh(`a_${r}`));
  const rights = range(groups).map((c) => names.fresh(groups === 1 ? "b_row" : `b_row_${c}`));
  const vector = vectors[type];
  const element = (array: string, at: string, offset: number): string =>
    `${array}[${at}${offset === 0 ? "" : ` + ${offset}`}]`;
  return [sums, (index) => [
    `let ${aAt} = ${index} * ${a.pitch} + ${thread} / ${threads[1]}${times(block[0])};`,
    `let ${bAt} = ${index} * ${b.pitch} + ${thread} % ${threads[1]}${times(block[1])};`,
    ...lefts.map((left, r) => `let ${left} = ${element(a.array, aAt, r)};`),
    ...rights.flatMap((right, c) => [
      `let ${right} = ${vector}(`,
      `  ${element(b.array, bAt, 4 * c)}, ${element(b.array, bAt, 4 * c + 1)},`,
      `  ${element(b.array, bAt, 4 * c + 2)}, ${element(b.array, bAt, 4 * c + 3)});`,
    ]),
    ...sums.flatMap((row, r) => row.map((sum, c) => (type === "f32"
      ? `${sum} = fma(${vector}(${lefts[r]}), ${rights[c]}, ${sum});`
      : `${sum} += ${lefts[r]} * ${rights[c]};`))),
  ]];
}

/** A function that stores one finished sum; returns its name. */
function finishFunction(
  module: Module, { batch, m, n, store }: Product, type: AccType, batches: Dim,
): string {
  const name = module.names.fresh("finish");
  const names = module.names.child();
  const region = new Region();
  const schedule = new Schedule(module, names, region);
  const [batchName, row, column, acc] =
    ["batch", "row", "column", "acc"].map((wanted) => names.fresh(wanted)) as
      [string, string, string, string];
  decodeAxes(module, names, schedule, batch, batchName, region);
  decodeAxes(module, names, schedule, m, row, region);
  decodeAxes(module, names, schedule, n, column, region,
    batch.length + m.length === 0 ? [store.index, ...loadIndices([store.value])] : []);
  schedule.acc(acc, region);
  needStore(schedule, store, region);
  schedule.place();
  const parameters = [
    ...(batches === 1 ? [] : [`${batchName}: i32`]), `${row}: i32`, `${column}: i32`,
    `${acc}: ${type}`,
  ];
  module.define([
    `fn ${name}(${parameters.join(", ")}) {`,
    ...region.lines.map((line) => `  ${line}`),
    `  ${storeLine(module, schedule, store)}`,
    "}",
  ]);
  return name;
}

interface Storing {
  readonly row: string;
  readonly column: string;
  readonly j: string;
  readonly batchName: string;
  readonly finish: string;
  readonly checks: Readonly<Record<"row" | "column", string | undefined>>;
  readonly batches: Dim;
}

function storeBlock(sums: readonly (readonly string[])[], storing: Storing): string[] {
  const { row, column, j, batchName, finish, checks, batches } = storing;
  const plus = (text: string, offset: number): string =>
    (offset === 0 ? text : `${text} + ${offset}`);
  const region = new Region();
  const groups = sums[0]?.length ?? 0;
  for (let c = 0; c < groups; c++) {
    const body = new Region();
    const at = `${plus(column, 4 * c)} + ${j}`;
    if (checks.column !== undefined) body.block(`if (${checks.column} <= ${at})`, ["break;"]);
    sums.forEach((line, r) => {
      const batch = batches === 1 ? "" : `${batchName}, `;
      const call = `${finish}(${batch}${plus(row, r)}, ${at}, ${line[c]}[${j}]);`;
      if (checks.row === undefined) body.push(call);
      else body.block(`if (${plus(row, r)} < ${checks.row})`, [call]);
    });
    region.block(`for (var ${j} = 0; ${j} < 4; ${j}++)`, body);
  }
  return region.lines;
}
