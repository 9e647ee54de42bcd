/**
 * A whole chip at full load: every array busy with products that use all of its cells. This is how
 * published chips state throughput, power and area, so it is what the model is checked against.
 */
import type { HybridTarget } from "../../../targets/schema.ts";
import { readSchedule } from "../../../targets/schedule.ts";
import type { Schedule } from "../../../targets/schedule.ts";
import { cellLayout } from "../tiling.ts";
import { ACTION_COUNTS, arraysPerChip, componentFigures, fullArray } from "./counts.ts";

export interface ComponentLoad {
  readonly name: string;
  /** Joules in one product of one array. */
  readonly energyJ: number;
  /** Watts and square metres on the whole chip. */
  readonly powerW: number;
  readonly areaM2: number;
}

export interface ChipLoad {
  readonly schedule: Schedule;
  readonly arrays: number;
  /** Operations of one product of one array; a multiply-accumulate is two. */
  readonly opsPerProduct: number;
  readonly productEnergyJ: number;
  readonly opsPerSecond: number;
  readonly powerW: number;
  readonly opsPerJoule: number;
  /** Of the analog part: the components. */
  readonly areaM2: number;
  readonly components: readonly ComponentLoad[];
}

/** Throughput, power and area of a chip whose arrays are all full and all busy. */
export function chipAtFullLoad(target: HybridTarget): ChipLoad {
  const schedule = readSchedule(target);
  const layout = cellLayout(target);
  const arrays = arraysPerChip(target);
  const use = fullArray(target);
  const components = target.components.map((part): ComponentLoad => {
    const figures = componentFigures(part, target);
    const actions =
      part.action === undefined ? 0 : ACTION_COUNTS[part.action](use, schedule, target);
    const powered = figures.instances * (figures.power + figures.leakage) * schedule.interval;
    const energyJ = actions * figures.energy + powered;
    return {
      name: part.name,
      energyJ,
      powerW: (arrays * energyJ) / schedule.interval,
      areaM2: arrays * figures.instances * figures.area,
    };
  });
  const total = (of: (load: ComponentLoad) => number): number =>
    components.reduce((sum, load) => sum + of(load), 0);
  const opsPerProduct = 2 * layout.inputsPerTile * layout.outputsPerTile;
  const leakagePerProduct = (target.leakage.value / arrays) * schedule.interval;
  const productEnergyJ = total((load) => load.energyJ) + leakagePerProduct;
  return {
    schedule,
    arrays,
    opsPerProduct,
    productEnergyJ,
    opsPerSecond: (arrays * opsPerProduct) / schedule.interval,
    powerW: (arrays * productEnergyJ) / schedule.interval,
    opsPerJoule: opsPerProduct / productEnergyJ,
    areaM2: total((load) => load.areaM2),
    components,
  };
}
