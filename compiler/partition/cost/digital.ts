/**
 * The cost of digital work, as a roofline: t = max(ops / peak, bytes / bandwidth) + launches t0,
 * E = e_op ops + e_byte bytes + P t (section 5.3 of the crossbar reference). Also the cost of
 * moving a value between the digital side and an array.
 */
import type { HybridTarget, Target } from "../../../targets/schema.ts";
import { costOf, term, withPrefix } from "./cost.ts";
import type { Cost, CostTerm, DigitalWork } from "./cost.ts";
import { OWNERS_PER_ARRAY, arraysPerChip } from "./counts.ts";

/** Cost of a digital kernel per inference. Area is the whole side's, see `fixedArea`. */
export function digitalCost(work: DigitalWork, target: Target): Cost {
  const { peak, bandwidth, launchTime, energyPerOp, energyPerByte } = target.digital;
  const bytes = work.bytesRead + work.bytesWritten;
  const compute = work.ops / peak.value;
  const transfer = bytes / bandwidth.value;
  const bound = compute >= transfer ? "compute" : "memory";
  const latency = Math.max(compute, transfer) + work.launches * launchTime.value;
  return costOf([
    term({
      name: "operations",
      formula: `${work.ops} op x ${withPrefix(energyPerOp.value, "J/op")}`,
      value: work.ops,
      unit: "op",
      source: energyPerOp.source,
      energyJ: work.ops * energyPerOp.value,
    }),
    term({
      name: "memory",
      formula: `${bytes} B x ${withPrefix(energyPerByte.value, "J/B")}`,
      value: bytes,
      unit: "B",
      source: energyPerByte.source,
      energyJ: bytes * energyPerByte.value,
    }),
    term({
      name: "roofline",
      formula:
        `max(${withPrefix(compute, "s")} compute, ${withPrefix(transfer, "s")} memory) + ` +
        `${work.launches} x ${withPrefix(launchTime.value, "s")}; ${bound}-bound`,
      value: latency,
      unit: "s",
      source: (bound === "compute" ? peak : bandwidth).source,
      latencyS: latency,
    }),
    standbyTerm(target, latency),
  ]);
}

/**
 * What the chip draws in any case while a unit runs: leakage of the analog part and idle power of
 * the digital part. Units run one after the other, so these add up to power times total latency.
 */
export function standbyTerm(target: Target, latencyS: number): CostTerm {
  const { power, formula, source } = standby(target);
  return term({
    name: "standby",
    formula: `${formula} x ${withPrefix(latencyS, "s")}`,
    value: latencyS,
    unit: "s",
    source,
    energyJ: power * latencyS,
  });
}

function standby(target: Target): { power: number; formula: string; source: string } {
  const idle = target.digital.idlePower;
  if (target.kind === "digital") {
    return { power: idle.value, formula: withPrefix(idle.value, "W"), source: idle.source };
  }
  const arrays = arraysPerChip(target);
  let leakage: number = target.leakage.value;
  for (const part of target.components) {
    const instances = part.count.value * OWNERS_PER_ARRAY[part.per](target) * arrays;
    leakage += (part.leakage?.value ?? 0) * instances;
  }
  return {
    power: idle.value + leakage,
    formula: `(${withPrefix(leakage, "W")} leakage + ${withPrefix(idle.value, "W")} idle)`,
    source: target.leakage.source,
  };
}

/** Area that is there whatever runs where: the digital side. */
export function fixedArea(target: Target): number {
  return target.digital.area.value;
}

/** Cost of moving a value between the digital side and an array, one way, once. */
export function crossingCost(bytes: number, target: HybridTarget): Cost {
  const { energy, bandwidth, latency } = target.link;
  return costOf([
    term({
      name: "link",
      formula:
        `${bytes} B x ${withPrefix(energy.value, "J/B")}; ${withPrefix(latency.value, "s")} + ` +
        `${bytes} B / ${withPrefix(bandwidth.value, "B/s")}`,
      value: bytes,
      unit: "B",
      source: energy.source,
      energyJ: bytes * energy.value,
      latencyS: latency.value + bytes / bandwidth.value,
    }),
  ]);
}
