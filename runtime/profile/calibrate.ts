/**
 * Runs a model's sensitivity graph on samples and adds up what it gives: the measured half of the
 * quality model. Signs at the outputs are drawn anew for every sample and round from the seed.
 */
import { optimise } from "../../compiler/compile.ts";
import { InternalError } from "../../compiler/errors.ts";
import { evalShape, type Bindings } from "../../compiler/graph/dim.ts";
import { bindInputs } from "../../compiler/graph/evaluate.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import { sizeOf, tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import { measuredQuality, type Sensitivity } from "../../compiler/partition/quality/predict.ts";
import type { UnitQuality } from "../../compiler/partition/quality/sample.ts";
import {
  sensitivityGraph, type SensitivityGraph,
} from "../../compiler/partition/quality/sensitivity.ts";
import type { Unit } from "../../compiler/partition/units.ts";
import { keyOf, uniformAt, type Key } from "../chip/normal.ts";
import type { Device } from "../device/device.ts";
import { Session } from "../execute/session.ts";

/** Inputs of one run by name, and how many samples they hold. */
export interface Samples {
  readonly feeds: ReadonlyMap<string, Tensor>;
  readonly count: number;
}

export interface CalibrateOptions {
  /** Independent draws of signs per run. */
  readonly rounds: number;
  readonly seed: number;
}

/** Sums of one unit while they grow. */
interface Sums {
  weights: Float64Array;
  products: Float64Array;
  outputs: Float64Array;
  inputs: number;
  largest: number;
  readonly drives: Float32Array[];
}

/**
 * Quality facts of every unit that may be analog.
 * @throws UserError when the model cannot be differentiated or run
 */
export async function measureQuality(
  graph: Graph,
  units: readonly Unit[],
  runs: readonly Samples[],
  device: Device,
  { rounds, seed }: CalibrateOptions,
): Promise<Map<string, UnitQuality>> {
  const sensitivity = sensitivityGraph(graph, units);
  const session = await Session.create(device, buildProgram(optimise(sensitivity.graph)));
  const sums = new Map<string, Sums>();
  let signal = 0;
  let samples = 0;
  try {
    for (const [index, { feeds, count }] of runs.entries()) {
      const sizes = bindInputs(graph, new Map([...feeds].map(([name, t]) => [name, t.shape])));
      for (let round = 0; round < rounds; round++) {
        const signs = drawSigns(sensitivity, sizes, keyOf(seed, "signs", index, round));
        const results = await session.run(new Map([...feeds, ...signs]));
        const first = round === 0;
        const held = (name: string): Tensor => {
          const found = results.get(name);
          if (!found) throw new InternalError(`the sensitivity graph gave no ${name}`);
          return found;
        };
        for (const [id, names] of sensitivity.units) {
          const sum = sums.get(id) ?? newSums(held(names.weights));
          sums.set(id, sum);
          addTo(sum.weights, held(names.weights), 1 / rounds);
          addTo(sum.products, held(names.products), 1 / rounds);
          sum.inputs += numberIn(held(names.inputs)) / rounds;
          if (!first) continue;
          addTo(sum.outputs, held(names.outputs), 1);
          const drive = held(names.drive).data as Float32Array;
          for (const x of drive) sum.largest = Math.max(sum.largest, Math.abs(x));
          sum.drives.push(drive);
        }
        if (first) signal += numberIn(held(sensitivity.signal));
      }
      samples += count;
    }
  } finally {
    session.release();
  }
  return new Map(units.flatMap(({ id, analog }) => {
    const sum = sums.get(id);
    if (!analog || !sum) return [];
    const found: Sensitivity = { ...sum, drive: joined(sum.drives) };
    return [[id, measuredQuality(analog, found, { samples, signal })] as const];
  }));
}

const newSums = ({ shape }: Tensor): Sums => ({
  weights: new Float64Array(sizeOf(shape)),
  products: new Float64Array(sizeOf(shape)),
  outputs: new Float64Array(sizeOf(shape)),
  inputs: 0, largest: 0, drives: [],
});

function addTo(sum: Float64Array, { data }: Tensor, factor: number): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + factor * Number(data[i]);
}

const numberIn = ({ data }: Tensor): number => Number(data[0]);

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A sign for every element of every output, as the probes' inputs. */
const drawSigns = ({ probes }: SensitivityGraph, sizes: Bindings, key: Key): [string, Tensor][] =>
  probes.map(({ name, shape: dims }, probe) => {
    const shape = evalShape(dims, sizes);
    const own = keyOf(0, ...key, probe);
    const signs = Float32Array.from({ length: sizeOf(shape) }, (_, i) =>
      uniformAt(own, i) < 0.5 ? -1 : 1);
    return [name, tensor("float32", shape, signs)];
  });
