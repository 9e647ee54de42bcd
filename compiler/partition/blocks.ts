/**
 * What merging consecutive analog units into energy blocks would cost: conversions saved against
 * sweeps spent. A chain is units that each read what the one before made and nobody else reads; the
 * best split of a chain into blocks is found by dynamic programming over all of them. Prices only:
 * a merged block is another model that needs training, which `compile --block-size` starts.
 */
import type { HybridTarget } from "../../targets/schema.ts";
import { analogCost } from "./cost/analog.ts";
import { blockCost } from "./cost/block.ts";
import type { ContractionShape } from "./cost/cost.ts";
import { ACTION_COUNTS } from "./cost/counts.ts";
import type { GraphFacts, UnitFacts } from "./facts.ts";
import { tileGrid, tileSchedule } from "./tiling.ts";

/** What some way of running layers takes per inference. */
export interface BlockTotals {
  readonly energyJ: number;
  readonly latencyS: number;
  readonly areaM2: number;
  readonly arrays: number;
  /** Of columns, by converters. */
  readonly conversions: number;
  /** Of relaxations, all blocks together; 0 where nothing relaxes. */
  readonly sweeps: number;
}

/** A chain of units that arrays can hold, and what its layers cost apart and merged. */
export interface ChainPrice {
  /** In order, as a person names them. */
  readonly units: readonly string[];
  /** Every unit a block of its own: the model as it is. */
  readonly apart: BlockTotals;
  /** All of them one energy block. */
  readonly merged: BlockTotals;
  /** The split into blocks of least energy, as numbers of units. */
  readonly best: BlockTotals & { readonly sizes: readonly number[] };
  /** Whether the best split has a merged block: another model, to be trained. */
  readonly needsTraining: boolean;
}

type Layer = UnitFacts & { readonly shape: ContractionShape };

/** Prices every chain of at least two units on a target. */
export function chainPrices(facts: GraphFacts, target: HybridTarget): ChainPrice[] {
  return chainsOf(facts).map((layers) => {
    const best = bestSplit(layers, target);
    return {
      units: layers.map(({ label }) => label),
      apart: sumOf(layers.map((layer) => alone(layer, target))),
      merged: together(layers, target),
      best,
      needsTraining: best.sizes.some((size) => size > 1),
    };
  });
}

/** Longest runs of units that arrays can hold, each the only reader of the one before. */
export function chainsOf({ units, values }: GraphFacts): Layer[][] {
  const canHold = (unit: UnitFacts): unit is Layer => unit.shape !== undefined;
  const layers = new Map(units.filter(canHold).map((unit) => [unit.id, unit]));
  const next = new Map<string, string>();
  for (const { from, to } of values) {
    const [only, more] = to;
    if (layers.has(from) && only !== undefined && more === undefined && layers.has(only)) {
      next.set(from, only);
    }
  }
  // A unit that also reads something another analog unit made continues the first of them only.
  const before = new Map<string, string>();
  for (const [from, to] of next) {
    if (before.has(to)) next.delete(from);
    else before.set(to, from);
  }
  const chains: Layer[][] = [];
  for (const first of layers.keys()) {
    if (before.has(first)) continue;
    const chain: Layer[] = [];
    for (let id: string | undefined = first; id !== undefined; id = next.get(id)) {
      chain.push(layers.get(id) as Layer);
    }
    if (chain.length > 1) chains.push(chain);
  }
  return chains;
}

/** Columns converted in one product with every tile of a layer, forward or transposed. */
function conversionsOf(shape: ContractionShape, target: HybridTarget, isBack = false): number {
  const grid = tileGrid(shape, target);
  const schedule = tileSchedule(target, grid);
  const use = isBack ? { ...grid, usedRows: grid.usedColumns, usedColumns: grid.usedRows } : grid;
  return ACTION_COUNTS.conversion(use, schedule, target);
}

function alone({ shape }: Layer, target: HybridTarget): BlockTotals {
  const { cost, arrays } = analogCost(shape, target);
  const { energyJ, latencyS, areaM2 } = cost;
  const conversions = shape.vectors * conversionsOf(shape, target);
  return { energyJ, latencyS, areaM2, arrays, conversions, sweeps: 0 };
}

/** Conversions of one relaxation, by where it happens; the rules of `cost/block.ts`. */
const CONVERSIONS: Record<
  HybridTarget["settle"]["domain"],
  (layers: readonly Layer[], target: HybridTarget, sweeps: number) => number
> = {
  analog: (layers, target) => {
    const { shape } = layers.at(-1) as Layer;
    return shape.vectors * conversionsOf(shape, target);
  },
  converters: (layers, target, sweeps) => layers.reduce((sum, { shape }, k) => {
    const forward = conversionsOf(shape, target);
    const perVector = k === 0 ? forward : sweeps * (forward + conversionsOf(shape, target, true));
    return sum + shape.vectors * perVector;
  }, 0),
};

function together(layers: readonly Layer[], target: HybridTarget): BlockTotals {
  const { cost, arrays, sweeps } = blockCost(layers.map(({ shape }) => shape), target);
  const { energyJ, latencyS, areaM2 } = cost;
  const conversions = CONVERSIONS[target.settle.domain](layers, target, sweeps);
  return { energyJ, latencyS, areaM2, arrays, conversions, sweeps };
}

const sumOf = (parts: readonly BlockTotals[]): BlockTotals => parts.reduce((sum, part) => ({
  energyJ: sum.energyJ + part.energyJ,
  latencyS: sum.latencyS + part.latencyS,
  areaM2: sum.areaM2 + part.areaM2,
  arrays: sum.arrays + part.arrays,
  conversions: sum.conversions + part.conversions,
  sweeps: sum.sweeps + part.sweeps,
}));

/** Blocks longer than this are not tried: their relaxations get long before they get cheap. */
const LONGEST = 16;

/** Least energy over every split of a chain into blocks of up to `LONGEST` units. */
function bestSplit(chain: readonly Layer[], target: HybridTarget): ChainPrice["best"] {
  const reached: { readonly totals: readonly BlockTotals[]; readonly sizes: readonly number[] }[] =
    [{ totals: [], sizes: [] }];
  const energyOf = (totals: readonly BlockTotals[]): number =>
    totals.reduce((sum, { energyJ }) => sum + energyJ, 0);
  for (let end = 1; end <= chain.length; end++) {
    let best: (typeof reached)[number] | undefined;
    for (let size = 1; size <= Math.min(end, LONGEST); size++) {
      const { totals, sizes } = reached[end - size] as (typeof reached)[number];
      const block = chain.slice(end - size, end);
      const price = size === 1 ? alone(block[0] as Layer, target) : together(block, target);
      const candidate = { totals: [...totals, price], sizes: [...sizes, size] };
      if (best === undefined || energyOf(candidate.totals) < energyOf(best.totals)) {
        best = candidate;
      }
    }
    reached.push(best as (typeof reached)[number]);
  }
  const { totals, sizes } = reached.at(-1) as (typeof reached)[number];
  return { ...sumOf(totals), sizes };
}
