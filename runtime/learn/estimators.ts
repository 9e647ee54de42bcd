/**
 * Estimators as tables: phases beta_t with weights c_t, such that sum_t c_t*beta_t = 1 and
 * sum_t c_t = 0 over phases and free state (equilibrium-propagation.md, sections 0 and 2).
 *
 *   nudged   s^beta minimises E + beta*C over all layers (EP)
 *   clamped  the output is put to o* - beta*dC/do and held; the rest minimises E (CL, CpL)
 *
 * Phases of an N-point stencil come in conjugate pairs, whose contributions are each other's
 * conjugates: only half of them is run, with twice the weight, and the real part taken.
 */
import { UserError } from "../../compiler/errors.ts";

export interface Phase {
  readonly beta: { readonly re: number; readonly im: number };
  readonly weight: { readonly re: number; readonly im: number };
}

export interface Stencil {
  readonly family: "nudged" | "clamped";
  readonly phases: readonly Phase[];
  /** c_0, of the free state; 0 where it is not used. */
  readonly freeWeight: number;
  readonly isComplex: boolean;
}

export interface StencilOptions {
  /** Strength of the nudge; radius for the holomorphic estimator. */
  readonly beta: number;
  /** N of the holomorphic estimator. */
  readonly points?: number | undefined;
  /** Drawn anew for each batch by the random-sign estimator. */
  readonly sign?: 1 | -1 | undefined;
}

const phase = (beta: number, weight: number): Phase =>
  ({ beta: { re: beta, im: 0 }, weight: { re: weight, im: 0 } });

/** (F'(beta) - F'(0))/beta, for beta of either sign. */
const oneSided = (family: Stencil["family"], beta: number): Stencil =>
  ({ family, phases: [phase(beta, 1 / beta)], freeWeight: -1 / beta, isComplex: false });

const symmetric = (family: Stencil["family"], beta: number): Stencil => ({
  family, freeWeight: 0, isComplex: false,
  phases: [phase(beta, 1 / (2 * beta)), phase(-beta, -1 / (2 * beta))],
});

/** (1/N) sum_t dF(r e^(i phi_t))/(r e^(i phi_t)), phi_t = 2 pi t/N (arXiv 2209.00530). */
function holomorphic(radius: number, points: number): Stencil {
  if (!Number.isInteger(points) || points < 2) {
    throw new UserError(`${points} points make no estimate`, {
      place: "--points", remedy: "give a whole number of at least 2",
    });
  }
  const phases = Array.from({ length: Math.floor(points / 2) + 1 }, (_, t): Phase => {
    const angle = (2 * Math.PI * t) / points;
    const isReal = t === 0 || 2 * t === points;
    const [cos, sin] = isReal ? [t === 0 ? 1 : -1, 0] : [Math.cos(angle), Math.sin(angle)];
    const size = (isReal ? 1 : 2) / (points * radius);
    return {
      beta: { re: radius * cos, im: radius * sin },
      // With sin and cos of the conjugate angle; -0 would make zero nudges differ.
      weight: { re: size * cos, im: isReal ? 0 : -size * sin },
    };
  });
  return { family: "nudged", phases, freeWeight: 0, isComplex: points > 2 };
}

export const estimatorNames = [
  "p-ep", "n-ep", "c-ep", "random-ep", "h-ep", "cl", "p-cpl", "n-cpl", "c-cpl",
] as const;
export type EstimatorName = (typeof estimatorNames)[number];

export const stencils: Record<EstimatorName, (options: StencilOptions) => Stencil> = {
  "p-ep": ({ beta }) => oneSided("nudged", beta),
  "n-ep": ({ beta }) => oneSided("nudged", -beta),
  "c-ep": ({ beta }) => symmetric("nudged", beta),
  "random-ep": ({ beta, sign = 1 }) => oneSided("nudged", sign * beta),
  "h-ep": ({ beta, points = 2 }) => holomorphic(beta, points),
  // Contrastive learning: the output is put to where the cost alone would have it after a unit
  // step, which for squared error is the target.
  "cl": () => oneSided("clamped", 1),
  "p-cpl": ({ beta }) => oneSided("clamped", beta),
  "n-cpl": ({ beta }) => oneSided("clamped", -beta),
  "c-cpl": ({ beta }) => symmetric("clamped", beta),
};

/** @throws UserError when beta is no usable strength. */
export function stencilOf(name: EstimatorName, options: StencilOptions): Stencil {
  if (!Number.isFinite(options.beta) || options.beta <= 0) {
    throw new UserError(`A nudge of ${options.beta} gives no gradient`, {
      place: "--beta", remedy: "give a positive number; 0.2 is a good start",
    });
  }
  return stencils[name](options);
}
