/**
 * Is a gradient right? Compares what a method gives with the solver that training would use against
 * implicit differentiation at rest, parameter by parameter and at every boundary. States how far
 * from equilibrium the free phase was left, and refuses to vouch for a gradient taken from there:
 * differences of states that still drift measure the drift.
 */
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import type { Solver } from "./blockRunner.ts";
import { Chain, type ForwardPass, type GradientMethod } from "./chain.ts";
import { compareGradients, type Agreement } from "./compare.ts";
import { releaseAll, type Engine, type Held } from "./engine.ts";
import { OnChip, type LearningChip } from "./onChip.ts";
import type { RelaxOptions } from "./relax.ts";
import { readAll } from "./reference.ts";

export interface CheckRequest {
  readonly engine: Engine;
  readonly model: FfEbm;
  /** Parameters by name. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly input: Tensor;
  readonly target: Tensor;
  readonly solver: Solver;
  readonly method: GradientMethod;
  /** The chip whose gradients are compared; the truth is always without one. */
  readonly chip?: LearningChip | undefined;
}

type Named = { readonly name: string } & Agreement;

export interface GradientCheck {
  readonly device: string;
  readonly freePhaseResidual: number;
  readonly nudgedResidual: number;
  /** Residual of the relaxations and adjoints that the truth was taken from. */
  readonly truthResidual: number;
  readonly parameters: readonly Named[];
  /** dL/da of each block, under the block's name. */
  readonly boundaries: readonly Named[];
  readonly overall: Agreement;
  readonly isCertified: boolean;
  /** Why not, where it is not, and what to change. */
  readonly reason: string | null;
  readonly remedy: string | null;
}

/**
 * Largest free-phase residual at which differences of states are taken for gradients, and largest
 * residual at which the truth is taken for one.
 */
const limits = {
  f64: { free: 1e-4, truth: 1e-9, rest: { tolerance: 1e-15, rounding: 1e-12, sweeps: 5000 } },
  f32: { free: 1e-4, truth: 1e-5, rest: { tolerance: 0, rounding: 1e-5, sweeps: 1000 } },
} as const;

/** How an engine relaxes when a phase is to go to rest. */
export const restOf = ({ float }: Engine): RelaxOptions =>
  ({ ...limits[float].rest, checkEvery: 16 });

interface Taken {
  readonly pass: ForwardPass;
  readonly parameters: Map<string, ArrayLike<number>>;
  readonly boundaries: Map<string, ArrayLike<number>>;
  readonly residual: number;
}

/** @throws UserError where a relaxation diverges, or an estimator does not suit the model. */
export const checkGradients = async (request: CheckRequest): Promise<GradientCheck> =>
  (await gradientChecker(request))(request.chip);

/**
 * As `checkGradients`, for several chips: the truth is found once.
 * @throws UserError where a relaxation diverges
 */
export async function gradientChecker(
  request: CheckRequest,
): Promise<(chip?: LearningChip) => Promise<GradientCheck>> {
  const until = restOf(request.engine);
  const truth = await take(request, { ...request.solver, free: until, nudged: until },
    { kind: "implicit", adjoint: until });
  return (chip) => compareWith(request, truth, chip);
}

async function compareWith(
  request: CheckRequest, truth: Taken, chip: LearningChip | undefined,
): Promise<GradientCheck> {
  const { engine, solver, method } = request;
  const { free, truth: enough, rest } = limits[engine.float];
  const found = await take(request, solver, method, chip);
  const { parameters, overall } = compareGradients(found.parameters, truth.parameters);
  const truthResidual = Math.max(truth.pass.residual, truth.residual);
  const freePhaseResidual = found.pass.residual;
  const doubt = !(truthResidual <= enough) ? {
    reason: `the free phase does not come to rest, even after ${rest.sweeps} sweeps: it still ` +
      `moves by ${truthResidual.toExponential(1)}`,
    remedy: "use asynchronous updates, smaller weights, or units of a smaller slope",
  } : !(freePhaseResidual <= free) ? {
    reason: "the free phase is far from equilibrium: its residual is " +
      `${freePhaseResidual.toExponential(1)}, above ${free}`,
    remedy: "give it more sweeps, or none to go to rest",
  } : { reason: null, remedy: null };
  return {
    device: engine.description, freePhaseResidual, nudgedResidual: found.residual, truthResidual,
    parameters, boundaries: compareGradients(found.boundaries, truth.boundaries).parameters,
    overall, isCertified: doubt.reason === null, ...doubt,
  };
}

async function take(
  { engine, model, parameters, input, target }: CheckRequest, solver: Solver,
  method: GradientMethod, chip?: LearningChip,
): Promise<Taken> {
  const onChip = chip && new OnChip(engine, model, chip, solver);
  const chain = new Chain(engine, onChip?.model ?? model, solver, onChip?.convert);
  const wanted = new Map<string, Held>([...parameters].map(([name, t]) => [name, engine.hold(t)]));
  const held = await onChip?.load(wanted, 0, { input, target, method }) ?? wanted;
  const record = method.kind === "truncated" ? solver.nudged.sweeps : 0;
  const pass = await chain.forward(
    held, engine.hold(input), engine.hold(target), "training", record);
  // Nudged phases are read later than the free one: with noise of their own.
  const later = await onChip?.load(wanted, 0, undefined, 1) ?? held;
  const gradients = await chain.backward(later, pass, { method, keepBoundaries: true });
  const found = await onChip?.gradients(gradients.parameters) ?? gradients.parameters;
  const taken = {
    pass, residual: gradients.residual,
    parameters: await readAll(engine, found),
    boundaries: await readAll(engine, gradients.boundaries),
  };
  chain.release(pass);
  onChip?.release(held);
  onChip?.release(later);
  onChip?.destroy();
  releaseAll(engine, [...wanted.values(), ...found.values(), ...gradients.boundaries.values()]);
  return taken;
}
