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
import { indent, Region } from "./region.ts";
import { Schedule } from "./schedule.ts";
import { assignment, needStore, storeLines } from "./store.ts";
import { binaryText, literal, primary, selectText, type Text } from "./text.ts";

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
  const firstRow = down === "1" ? "0" : names.fresh("tile_row");
  const firstColumn = across === "1" ? "0" : names.fresh("tile_column");
  if (down !== "1") {
    const all = batches === 1 && module.isLine(grid) ? "" : ` % ${down}`;
    root.push(`let ${firstRow} = ${over(tile, across)}${all} * ${rows};`);
  }
  if (across !== "1") root.push(`let ${firstColumn} = ${tile} % ${across} * ${columns};`);
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

  const isExact = module.isLine(grid);
  const evenly = (extent: Dim, per: number): boolean =>
    isExact && typeof extent === "number" && extent % per === 0;
  const finish = finishFunction(module, product, type, {
    batch: isExact ? undefined : batches, row: evenly(M, rows) ? undefined : M,
  });
  const row = names.fresh("row");
  const column = names.fresh("column");
  const [rowOf, columnOf] = [`${thread} / ${threads[1]}`, `${thread} % ${threads[1]}`];
  root.push(
    `let ${row} = ${plus(firstRow, `${rowOf}${times(block[0])}`)};`,
    `let ${column} = ${plus(firstColumn, `${columnOf}${times(block[1])}`)};`,
  );
  storeBlock(root, sums, {
    row, column, j: names.fresh("j"),
    finish: batches === 1 ? `${finish}(` : `${finish}(${batchName}, `,
    end: evenly(N, columns) ? undefined : module.size(N),
  });
  const shape = [batches, M, N, K].map(String).join(" x ");
  return {
    workgroupSize: size, grid, body: root.lines,
    schedule: `product ${shape} (batch, m, n, k): tiles of ${rows} x ${columns}, ` +
      `${block[0]} x ${block[1]} per invocation, ${depth} deep`,
  };
}

const over = (text: string, divisor: string): string =>
  (divisor === "1" ? text : `${text} / ${divisor}`);

/** Number of tiles along an extent. */
function ceilText(module: Module, extent: Dim, per: number): string {
  if (typeof extent === "number") return String(Math.max(Math.ceil(extent / per), 1));
  return `((${module.size(extent).text} + ${per - 1}) / ${per})`;
}

/** The sum of two texts, of which the first may be "0". */
const plus = (a: string, b: string | number): string =>
  (a === "0" ? String(b) : b === 0 ? a : `${a} + ${b}`);

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
    each.push(`let ${at} = ${plus(origin, line)};`);
  } else {
    root.push(`let ${at} = ${plus(origin, lane)};`);
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
  each.push(...assignment(names, `${array}[${kInSlab} * ${pitch} + ${inLine}]`, inside.text));
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

/** Ends of the coordinates, where they do not come out even. */
type Ends = Readonly<Record<"batch" | "row", Dim | undefined>>;

/** A function that stores one finished sum, if it is one of the product; returns its name. */
function finishFunction(
  module: Module, { batch, m, n, store }: Product, type: AccType, ends: Ends,
): string {
  const name = module.names.fresh("finish");
  const names = module.names.child();
  const { batch: image, row, column, acc } = names.all("batch", "row", "column", "acc");
  const coordinates = { batch: image, row };
  const checks = (Object.keys(coordinates) as (keyof Ends)[]).flatMap((key) => {
    const end = ends[key];
    return end === undefined || end === 1 ? [] : [`${coordinates[key]} < ${module.size(end).text}`];
  });
  const region = new Region();
  const schedule = new Schedule(module, names, region);
  decodeAxes(module, names, schedule, batch, image, region);
  decodeAxes(module, names, schedule, m, row, region);
  decodeAxes(module, names, schedule, n, column, region,
    extentOf([...batch, ...m]) === 1 ? [store.index, ...loadIndices([store.value])] : []);
  schedule.acc(acc, region);
  needStore(schedule, store, region);
  schedule.place();
  region.push(...storeLines(module, names, schedule, store));
  const body = new Region();
  if (checks.length === 0) body.push(...region.lines);
  else body.block(`if (${checks.join(" && ")})`, region);
  const parameters = [
    ...(extentOf(batch) === 1 ? [] : [`${image}: i32`]), `${row}: i32`, `${column}: i32`,
    `${acc}: ${type}`,
  ];
  module.define([`fn ${name}(${parameters.join(", ")}) {`, ...indent(body.lines), "}"]);
  return name;
}

interface Storing {
  readonly row: string;
  readonly column: string;
  readonly j: string;
  /** The call up to its coordinates. */
  readonly finish: string;
  /** End of the columns, where they do not come out even. */
  readonly end: Text | undefined;
}

function storeBlock(
  root: Region, sums: readonly (readonly string[])[], { row, column, j, finish, end }: Storing,
): void {
  const groups = sums[0]?.length ?? 0;
  for (let c = 0; c < groups; c++) {
    const first = plus(column, 4 * c);
    const limit = end === undefined ? "4" : `min(4, ${difference(end, first)})`;
    root.block(`for (var ${j} = 0; ${j} < ${limit}; ${j}++)`, sums.map((line, r) =>
      `${finish}${plus(row, r)}, ${first} + ${j}, ${line[c]}[${j}]);`));
  }
}

const difference = (a: Text, b: string): string =>
  `${a.text} - ${b.includes(" ") ? `(${b})` : b}`;
