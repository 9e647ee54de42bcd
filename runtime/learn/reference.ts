/**
 * Checks this code's equilibria and gradients against a reference network computed by other code:
 * what `crosstie check-gradients FILE.json --reference` prints. Everything is computed on the given
 * engine and compared in float64 with what the file states.
 */
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import {
  readReferenceNet, type ReferenceArray, type ReferenceNet,
} from "../../models/referenceNet.ts";
import type { Solver } from "./blockRunner.ts";
import { Chain, type ForwardPass, type GradientMethod } from "./chain.ts";
import { compareGradients, type NamedNumbers } from "./compare.ts";
import { releaseAll, type Engine, type Held } from "./engine.ts";
import { stencilOf } from "./estimators.ts";

export interface ReferenceReport {
  /** Where it was computed. */
  readonly device: string;
  /** Largest |s - stored s| over all units. */
  readonly equilibriumMaxError: number;
  /** |mean loss - stored mean loss|. */
  readonly lossError: number;
  /** |g - stored g|/|stored g| over all parameters together, by implicit differentiation. */
  readonly exactGradientRelativeError: number;
  readonly freePhaseResidual: number;
  readonly adjointResidual: number;
  /** By beta as the file writes it; null where the file holds no gradient to compare with. */
  readonly bpEp: Readonly<Record<string, {
    readonly cosineToExact: number;
    readonly relativeErrorToExact: number;
    readonly relativeErrorToStored: number | null;
    readonly nudgedResidual: number;
  }>>;
}

/** Residuals at which phases end, and the cap on sweeps. */
const limits = {
  f64: { tolerance: 1e-15, rounding: 1e-12, sweeps: 5000 },
  f32: { tolerance: 2e-7, rounding: 1e-5, sweeps: 1000 },
} as const;

/**
 * @param betas which of the file's nudges to run, as the file writes them; all when absent
 * @throws UserError where the file is not a reference network.
 */
export async function checkReference(
  json: unknown, place: string, engine: Engine, betas?: readonly string[],
): Promise<ReferenceReport> {
  const net = readReferenceNet(json, place);
  const { built, file } = net;
  const until = { ...limits[engine.float], checkEvery: 16 };
  const solver: Solver = { order: "asynchronous", free: until, nudged: until };
  const chain = new Chain(engine, built.model, solver);
  const parameters = new Map(built.model.parameters.map(({ name }) =>
    [name, engine.hold(asTensor(file.parameters[name] as ReferenceArray))]));
  const input = engine.hold(asTensor(file.input));
  const target = engine.hold(oneHot(file.labels, (built.model.target.shape)[0] as number));
  const pass = await chain.forward(parameters, input, target);

  const gradient = async (method: GradientMethod): Promise<{
    numbers: NamedNumbers; residual: number;
  }> => {
    const { parameters: found, residual } = await chain.backward(parameters, pass, { method });
    const numbers = await readAll(engine, found);
    releaseAll(engine, found.values());
    return { numbers, residual };
  };
  const stored = (tensors: Readonly<Record<string, ReferenceArray>>): NamedNumbers =>
    new Map(built.model.parameters.map(({ name }) => [name, tensors[name]?.data ?? []]));
  const exactStored = stored(file.exact_gradient);
  const exact = await gradient({ kind: "implicit", adjoint: until });
  const bpEp: Record<string, ReferenceReport["bpEp"][string]> = {};
  for (const [beta, entry] of Object.entries(file.bp_ep_centered)) {
    if (betas && !betas.includes(beta)) continue;
    const stencil = stencilOf("c-ep", { beta: Number(beta) });
    const { numbers, residual } = await gradient({ kind: "equilibrium", stencil });
    const toExact = compareGradients(numbers, exactStored).overall;
    bpEp[beta] = {
      cosineToExact: toExact.cosine, relativeErrorToExact: toExact.relativeError,
      relativeErrorToStored: entry.gradient
        ? compareGradients(numbers, stored(entry.gradient)).overall.relativeError : null,
      nudgedResidual: residual,
    };
  }
  return {
    device: engine.description,
    equilibriumMaxError: await equilibriumError(engine, net, pass),
    lossError: Math.abs(mean((await engine.read(pass.loss)).data) - file.loss_mean_cross_entropy),
    exactGradientRelativeError: compareGradients(exact.numbers, exactStored).overall.relativeError,
    freePhaseResidual: pass.residual, adjointResidual: exact.residual, bpEp,
  };
}

async function equilibriumError(
  engine: Engine, { built, file }: ReferenceNet, pass: ForwardPass,
): Promise<number> {
  let largest = 0;
  const blocks = built.model.stages.flatMap((stage) => (stage.kind === "analog" ? [stage] : []));
  for (const [k, { name, block }] of blocks.entries()) {
    for (const [l, { name: state }] of block.states.entries()) {
      const { data } = await engine.read(pass.blocks.get(name)?.states.get(state) as Held);
      const expected = file.equilibrium[k]?.[l]?.data ?? [];
      expected.forEach((x, i) => {
        largest = Math.max(largest, Math.abs(x - (data[i] as number)));
      });
    }
  }
  return largest;
}

export async function readAll(
  engine: Engine, held: ReadonlyMap<string, Held>,
): Promise<Map<string, ArrayLike<number>>> {
  const read = new Map<string, ArrayLike<number>>();
  for (const [name, h] of held) read.set(name, (await engine.read(h)).data);
  return read;
}

const asTensor = ({ shape, data }: ReferenceArray): Tensor =>
  tensor("float32", shape, Float64Array.from(data));

/** Labels as rows of zeros with a one. */
export function oneHot(labels: ArrayLike<number>, classes: number): Tensor {
  const data = new Float32Array(labels.length * classes);
  for (let i = 0; i < labels.length; i++) data[i * classes + (labels[i] as number)] = 1;
  return tensor("float32", [labels.length, classes], data);
}

const mean = (xs: ArrayLike<number>): number =>
  Array.from(xs).reduce((sum, x) => sum + x, 0) / xs.length;
