/**
 * The cost of a contraction on the arrays of a target (section 5.1 of the crossbar reference, after
 * CiMLoop and NeuroSim): actions counted from the tiling and the read schedule, times component
 * energies; cells by E[V^2] sum(G) t where the target asks for it; busy components by power and
 * time; latency as a fill and then one product per interval; area as instances times area.
 */
import type { Action, Coding, Component, HybridTarget } from "../../../targets/schema.ts";
import type { Schedule } from "../../../targets/schedule.ts";
import { dissipation } from "../../../targets/units.ts";
import type { Second, Siemens } from "../../../targets/units.ts";
import { arraysFor, tileGrid, tileSchedule } from "../tiling.ts";
import type { TileGrid } from "../tiling.ts";
import { costOf, term, withPrefix } from "./cost.ts";
import type { ContractionShape, Cost, CostTerm, InputStats } from "./cost.ts";
import { ACTION_COUNTS, arrayArea, componentFigures } from "./counts.ts";
import type { Usage } from "./counts.ts";
import { standbyTerm } from "./digital.ts";

/** Cost of one contraction per inference, with what it occupies. */
export interface AnalogCost {
  readonly cost: Cost;
  readonly grid: TileGrid;
  readonly schedule: Schedule;
  /** Arrays occupied: the use of the chip's capacity. */
  readonly arrays: number;
  /** Time between two inferences of this contraction alone, for pipelined throughput. */
  readonly stageS: number;
}

export interface AnalogOptions {
  /** Copies of the weights that share the products of an inference. */
  readonly replicas?: number;
  /** Its arrays are another contraction's, which counts their area and programming. */
  readonly isShared?: boolean;
}

/**
 * @throws UserError when the array holds no weight, or a component has no figure for the bits
 */
export function analogCost(
  shape: ContractionShape,
  target: HybridTarget,
  { replicas = 1, isShared = false }: AnalogOptions = {},
): AnalogCost {
  const grid = tileGrid(shape, target);
  const schedule = tileSchedule(target, grid);
  const products = Math.ceil(shape.vectors / replicas);
  const sums = partialSums(shape, grid, target);
  const interval = target.pipeline.overlap
    ? Math.max(schedule.interval, sums.secondsPerVector)
    : schedule.interval + sums.secondsPerVector;
  const latency = schedule.latency + (products - 1) * interval;
  const first = withPrefix(schedule.latency, "s");
  const terms: CostTerm[] = [
    ...productTerms(shape, grid, schedule, target,
      { products: shape.vectors, replicas: isShared ? 0 : replicas }),
    term({
      name: "products",
      formula: `${first} + ${products - 1} x interval; ${schedule.formula}`,
      value: products,
      unit: "product",
      source: target.input.readTime.source,
      latencyS: latency,
    }),
    sums.term,
    ...isShared ? [] : [
      programmingTerm(shape, grid, target, replicas), idleTerm(grid.tiles * replicas, target),
    ],
    standbyTerm(target, latency),
  ];
  return {
    cost: costOf(withoutZeros(terms)),
    grid,
    schedule,
    arrays: isShared ? 0 : arraysFor(grid.tiles * replicas, target),
    stageS: products * interval,
  };
}

/** Area of arrays that are allocated with a core but hold nothing. */
export function idleTerm(tiles: number, target: HybridTarget): CostTerm {
  const idle = arraysFor(tiles, target) - tiles;
  return term({
    name: "idle arrays",
    formula: `${idle} arrays of cores that are started whole`,
    value: idle,
    unit: "array",
    source: target.chip.arraysPerCore.source,
    areaM2: idle === 0 ? 0 : idle * arrayArea(target),
  });
}

export const withoutZeros = (terms: readonly CostTerm[]): CostTerm[] =>
  terms.filter((t) => t.energyJ !== 0 || t.latencyS !== 0 || t.areaM2 !== 0);

export interface ProductOptions {
  /** Products with all tiles, over all replicas. */
  readonly products: number;
  /** Copies of the arrays; their area is counted, 0 when it is counted elsewhere. */
  readonly replicas: number;
  /** Rows and columns trade places: the array is read the other way. */
  readonly transposed?: boolean;
  /** Only parts with one of these actions; all parts, and the cells, unless given. */
  readonly only?: readonly Action[];
  /** Seconds that powered parts are busy; the products' own unless given. */
  readonly busyS?: number;
}

/** Energy of products, and the area of the arrays that make them: one term per component. */
export function productTerms(
  shape: ContractionShape,
  grid: TileGrid,
  schedule: Schedule,
  target: HybridTarget,
  options: ProductOptions,
): CostTerm[] {
  const use: Usage = options.transposed
    ? { ...grid, usedRows: grid.usedColumns, usedColumns: grid.usedRows }
    : grid;
  const { only, products } = options;
  const parts = target.components.filter(
    ({ action }) => only === undefined || (action !== undefined && only.includes(action)),
  );
  const busyS = options.busyS ?? (products / Math.max(1, options.replicas)) * schedule.interval;
  const cells = only === undefined ? cellTerms(shape, grid, target, products, schedule) : [];
  return [
    ...parts.map((part) => componentTerm(part, target, schedule, use, { ...options, busyS })),
    ...cells,
  ];
}

/** Energy of one component for all products, and its area on all occupied arrays. */
function componentTerm(
  part: Component,
  target: HybridTarget,
  schedule: Schedule,
  use: Usage,
  { products, replicas, busyS }: ProductOptions & { readonly busyS: number },
): CostTerm {
  const figures = componentFigures(part, target);
  const instances = figures.instances * use.tiles;
  const perProduct =
    part.action === undefined ? 0 : ACTION_COUNTS[part.action](use, schedule, target);
  const actions = perProduct * products;
  const powered = instances * Math.max(1, replicas);
  const said = [
    part.action === undefined
      ? undefined
      : `${actions} ${part.action} x ${withPrefix(figures.energy, "J")}`,
    figures.power === 0
      ? undefined
      : `${Number(powered.toPrecision(4))} x ${withPrefix(figures.power, "W")} x ` +
        withPrefix(busyS, "s"),
  ].filter((text) => text !== undefined);
  return term({
    name: part.name,
    formula: said.length === 0 ? "area only" : said.join(" + "),
    value: part.action === undefined ? powered : actions,
    unit: part.action ?? part.per,
    source: figures.source,
    energyJ: actions * figures.energy + powered * figures.power * busyS,
    areaM2: instances * replicas * figures.area,
  });
}

/** E[(V/Vread)^2] averaged over the units of the schedule's pulses. */
const ON_SQUARE: Record<Coding, (stats: InputStats | undefined) => number> = {
  "bit-serial": (stats) => stats?.bitActivity ?? 1 / 2,
  "bit-serial-integrated": (stats) => stats?.bitActivity ?? 1 / 2,
  "pulse-width": (stats) => stats?.meanAbs ?? 1 / 2,
  amplitude: (stats) => stats?.meanSquare ?? 1 / 3,
  digital: () => 0,
};

/** Mean conductance of the cells that hold a weight, and its formula. */
export function meanConductance(shape: ContractionShape, target: HybridTarget): number {
  const gMin = target.cell.gMin.value;
  const gMax = target.cell.gMax.value;
  const { scheme, sides, slices } = target.encoding;
  // Lower slices hold digits that are close to uniform whatever the weights are.
  const fraction = slices.value > 1 ? 1 / 2 : (shape.weightStats?.meanAbs ?? 1 / 2);
  if (scheme === "offset") return gMin + (gMax - gMin) / 2;
  if (sides === "two") return (gMin + gMax) / 2;
  return gMin + ((gMax - gMin) * fraction) / 2;
}

/** Cells that conduct while rows are driven, for targets that price them by their current. */
function cellTerms(
  shape: ContractionShape,
  grid: TileGrid,
  target: HybridTarget,
  products: number,
  schedule: Schedule,
): CostTerm[] {
  const seconds = schedule.pulseUnits * target.input.readTime.value;
  return conductionTerms(shape, grid, target, products, seconds);
}

/** E[V^2] sum(G) t for `products` reads that each last `seconds`; none for lumped cells. */
export function conductionTerms(
  shape: ContractionShape,
  grid: TileGrid,
  target: HybridTarget,
  products: number,
  seconds: number,
): CostTerm[] {
  if (target.array.energy !== "conductance") return [];
  const time = seconds as Second;
  const mean = meanConductance(shape, target);
  const total = (grid.weightCells * mean + grid.idleCells * target.cell.gMin.value) as Siemens;
  const volts = target.input.readVoltage.value;
  const onSquare = ON_SQUARE[target.input.coding](shape.inputStats);
  const energyJ = products * dissipation(onSquare * volts * volts, total, time);
  const known = shape.inputStats === undefined ? "uniform inputs" : "measured inputs";
  return [
    term({
      name: "cells",
      formula:
        `${products} x E[V^2] (${withPrefix(volts, "V")})^2 x ${onSquare.toPrecision(3)} ` +
        `(${known}) x sum G ${withPrefix(total, "S")} x ${withPrefix(time, "s")}`,
      value: total,
      unit: "S",
      source: target.input.readVoltage.source,
      energyJ,
    }),
  ];
}

/** Adding the partial sums of row tiles on the digital side. */
function partialSums(shape: ContractionShape, grid: TileGrid, target: HybridTarget) {
  const perVector = (grid.rowTiles - 1) * shape.colsN * shape.groups;
  const { peak, energyPerOp } = target.digital;
  const ops = perVector * shape.vectors;
  return {
    secondsPerVector: perVector / peak.value,
    term: term({
      name: "partial sums",
      formula:
        `${grid.rowTiles - 1} additions x ${shape.colsN * shape.groups} outputs x ` +
        `${shape.vectors} vectors x ${withPrefix(energyPerOp.value, "J/op")}`,
      value: ops,
      unit: "op",
      source: energyPerOp.source,
      energyJ: ops * energyPerOp.value,
    }),
  };
}

/** Writing the weights, shared by the inferences that one programming serves. */
export function programmingTerm(
  shape: ContractionShape,
  grid: TileGrid,
  target: HybridTarget,
  replicas: number,
): CostTerm {
  const { pulses, pulseVoltage, pulseTime, inferences } = target.write;
  const cells = grid.weightCells * replicas;
  const mean = meanConductance(shape, target) as Siemens;
  const perPulse = dissipation(pulseVoltage.value ** 2, mean, pulseTime.value);
  const seconds = programmingTime(grid, target);
  return term({
    name: "programming",
    formula:
      `${cells} cells x ${pulses.value} pulses x ${withPrefix(perPulse, "J")} / ` +
      `${inferences.value} inferences; takes ${withPrefix(seconds, "s")} once`,
    value: cells,
    unit: "cell",
    source: pulses.source,
    energyJ: (cells * pulses.value * perPulse) / inferences.value,
  });
}

/** Seconds to program a contraction once: pulses and verify reads, all tiles at the same time. */
function programmingTime(grid: TileGrid, target: HybridTarget): number {
  const { pulses, pulseTime, verifyTime, parallel } = target.write;
  const cells = grid.weightCells / grid.tiles;
  return Math.ceil(cells / parallel.value) * pulses.value * (pulseTime.value + verifyTime.value);
}

