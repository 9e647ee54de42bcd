/**
 * The cost of an energy block: layers of states tied by weight arrays, settled to a minimum.
 * Two domains, as the target says. "analog": all arrays conduct together until voltages rest, and
 * converters work only at the block's boundary; a convolution then needs an array per window,
 * because nothing is multiplexed while it settles. "converters": digital neurons around analog
 * products, every array read forward and transposed in every sweep, except the first, whose input
 * stands still. Also the cost of one training step of equilibrium propagation on such a block.
 */
import { InternalError } from "../../errors.ts";
import type { Action, HybridTarget } from "../../../targets/schema.ts";
import type { Schedule } from "../../../targets/schedule.ts";
import { dissipation } from "../../../targets/units.ts";
import type { Siemens } from "../../../targets/units.ts";
import { arraysFor, tileGrid, tileSchedule } from "../tiling.ts";
import type { TileGrid } from "../tiling.ts";
import {
  conductionTerms,
  idleTerm,
  meanConductance,
  productTerms,
  programmingTerm,
  withoutZeros,
} from "./analog.ts";
import { costOf, term, withPrefix } from "./cost.ts";
import type { ContractionShape, Cost, CostTerm } from "./cost.ts";
import { standbyTerm } from "./digital.ts";

export interface BlockCost {
  readonly cost: Cost;
  readonly arrays: number;
  readonly sweeps: number;
}

interface Layer {
  readonly shape: ContractionShape;
  readonly grid: TileGrid;
  readonly schedule: Schedule;
}

function layersOf(shapes: readonly ContractionShape[], target: HybridTarget): Layer[] {
  if (shapes.length === 0) throw new InternalError("an energy block has no layers");
  return shapes.map((shape) => {
    const grid = tileGrid(shape, target);
    const schedule = tileSchedule(target, grid);
    return { shape, grid, schedule };
  });
}

/**
 * One relaxation of a block whose k-th weight array ties state k-1 (state 0 is the input) to k.
 * @param sweeps of the relaxation; the target's unless given
 */
export function blockCost(
  shapes: readonly ContractionShape[],
  target: HybridTarget,
  sweeps: number = target.settle.sweeps.value,
): BlockCost {
  const layers = layersOf(shapes, target);
  return DOMAINS[target.settle.domain](layers, target, sweeps);
}

type Domain = (layers: readonly Layer[], target: HybridTarget, sweeps: number) => BlockCost;

/** What a part does where a value enters, leaves, or only passes while voltages settle. */
const ENTERING: readonly Action[] = ["row-pulse", "input-byte"];
const LEAVING: readonly Action[] = [
  "sample",
  "integration",
  "adc-step",
  "conversion",
  "output-byte",
];
const SETTLING: readonly Action[] = ["array-read", "sense", "product"];

const DOMAINS: Record<HybridTarget["settle"]["domain"], Domain> = {
  analog: (layers, target, sweeps) => {
    const settleS = target.settle.time.value * sweeps;
    const terms: CostTerm[] = [];
    let tiles = 0;
    layers.forEach((layer, k) => {
      const { shape, grid, schedule } = layer;
      const replicas = shape.vectors;
      const on = (only: readonly Action[]): CostTerm[] =>
        productTerms(shape, grid, schedule, target, { products: replicas, replicas: 0, only });
      tiles += grid.tiles * replicas;
      if (k === 0) terms.push(...on(ENTERING));
      if (k === layers.length - 1) terms.push(...on(LEAVING));
      terms.push(...on(SETTLING), ...conductionTerms(shape, grid, target, replicas, settleS));
      terms.push(...standing(layer, target, replicas, settleS));
      terms.push(programmingTerm(shape, grid, target, replicas));
    });
    const last = layers.at(-1) as Layer;
    const latency = settleS + last.schedule.latency;
    const formula =
      `${sweeps} x ${withPrefix(target.settle.time.value, "s")} + ` +
      `${withPrefix(last.schedule.latency, "s")} to convert`;
    return finish(terms, target, tiles, sweeps, latency, formula);
  },
  converters: (layers, target, sweeps) => {
    const terms: CostTerm[] = [];
    let tiles = 0;
    let perSweep = target.settle.time.value * layers.length;
    layers.forEach((layer, k) => {
      const { shape, grid, schedule } = layer;
      const rounds = k === 0 ? 1 : sweeps;
      const products = shape.vectors * rounds;
      const busyS = products * schedule.interval * (k === 0 ? 1 : 2);
      tiles += grid.tiles;
      const forward = { products, replicas: 1, busyS };
      terms.push(...productTerms(shape, grid, schedule, target, forward));
      if (k > 0) {
        // Powered parts were busy for both directions above.
        const back = { products, replicas: 0, busyS: 0, transposed: true };
        terms.push(...productTerms(shape, grid, schedule, target, back));
        perSweep += 2 * shape.vectors * schedule.interval;
      }
      terms.push(programmingTerm(shape, grid, target, 1));
    });
    const first = layers[0] as Layer;
    const fill = first.schedule.latency + (first.shape.vectors - 1) * first.schedule.interval;
    const latency = fill + sweeps * perSweep;
    const formula = `${withPrefix(fill, "s")} + ${sweeps} x ${withPrefix(perSweep, "s")}`;
    return finish(terms, target, tiles, sweeps, latency, formula);
  },
};

/** Area of a layer's arrays, and energy of the parts that draw power while it settles. */
function standing(
  { shape, grid, schedule }: Layer,
  target: HybridTarget,
  replicas: number,
  busyS: number,
): CostTerm[] {
  return productTerms(shape, grid, schedule, target, { products: 0, replicas, busyS }).filter(
    ({ name }) => name !== "cells",
  );
}

function finish(
  terms: readonly CostTerm[],
  target: HybridTarget,
  tiles: number,
  sweeps: number,
  latencyS: number,
  formula: string,
): BlockCost {
  const settling = term({
    name: "settling",
    formula,
    value: sweeps,
    unit: "sweep",
    source: target.settle.time.source,
    latencyS,
  });
  const all = [...terms, idleTerm(tiles, target), settling, standbyTerm(target, latencyS)];
  return { cost: costOf(withoutZeros(all)), arrays: arraysFor(tiles, target), sweeps };
}

export interface TrainingStep {
  /** Sweeps of the free phase and of each nudged phase. */
  readonly freeSweeps: number;
  readonly nudgedSweeps: number;
  /** Nudged phases per step: 1 one-sided, 2 centered, N for N points. */
  readonly nudges: number;
}

/** Cost of one training step on one sample: its phases, and one pulse per cell for the update. */
export function trainingStepCost(
  shapes: readonly ContractionShape[],
  target: HybridTarget,
  { freeSweeps, nudgedSweeps, nudges }: TrainingStep,
): Cost {
  const layers = layersOf(shapes, target);
  const free = blockCost(shapes, target, freeSweeps).cost;
  const nudged = blockCost(shapes, target, nudgedSweeps).cost;
  const { pulseVoltage, pulseTime, parallel } = target.write;
  let cells = 0;
  let updateJ = 0;
  let updateS = 0;
  for (const { shape, grid } of layers) {
    const mean = meanConductance(shape, target) as Siemens;
    cells += grid.weightCells;
    updateJ +=
      grid.weightCells * dissipation(pulseVoltage.value ** 2, mean, pulseTime.value);
    const perTile = Math.ceil(grid.weightCells / grid.tiles / parallel.value);
    updateS = Math.max(updateS, perTile * pulseTime.value);
  }
  const area = free.areaM2;
  const repeated = Array.from({ length: nudges }, () => nudged.terms).flat();
  const energyAndTime = [...free.terms, ...repeated].map((t) => ({ ...t, areaM2: 0 }));
  return costOf([
    ...energyAndTime,
    term({
      name: "area",
      formula: "arrays of the block, counted once",
      value: area,
      unit: "m2",
      source: target.components[0]?.count.source ?? target.settle.time.source,
      areaM2: area,
    }),
    term({
      name: "weight update",
      formula: `${cells} cells x 1 pulse, ${parallel.value} at once per array`,
      value: cells,
      unit: "cell",
      source: pulseTime.source,
      energyJ: updateJ,
      latencyS: updateS,
    }),
  ]);
}
