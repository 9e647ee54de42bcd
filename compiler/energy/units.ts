/**
 * What a unit of an energy block may be: its activation `act`, and the self-energy G with
 * G' = act^-1 that makes `s = act(pre)` the minimiser of G(s) - pre*s over the unit's domain
 * (equilibrium-propagation.md, section 0). One record per kind; a missing field does not compile.
 *
 * Not digital activations: those are ordinary primitives, and need no energy.
 */
import type { Builder } from "../graph/builder.ts";
import type { Value } from "../graph/graph.ts";
import { real } from "./constants.ts";

export interface UnitParameters {
  /**
   * clamp(slope*v, low, high), G = s^2/(2 slope): slope 1 on [0, 1] is the hard sigmoid of
   * Ernoult et al. 2019, slope 1/2 that of Laborieux et al. 2021; high may be Infinity (ReLU).
   */
  clamp: { readonly slope: number; readonly low: number; readonly high: number };
  /** 1/(1 + exp(-(gain*v + offset))); gain 4 and offset -2 is the smooth twin of the hard clamp. */
  sigmoid: { readonly gain: number; readonly offset: number };
  tanh: Readonly<Record<never, never>>;
  /** s = v, G = s^2/2. */
  linear: Readonly<Record<never, never>>;
}
export type UnitKind = keyof UnitParameters;
export type Unit = { [K in UnitKind]: { readonly kind: K } & UnitParameters[K] }[UnitKind];
type UnitOf<K extends UnitKind> = Extract<Unit, { readonly kind: K }>;

interface UnitRule<K extends UnitKind> {
  /** Values that a state may take, ends included. */
  domain(unit: UnitOf<K>): { readonly low: number; readonly high: number };
  activation(b: Builder, v: Value, unit: UnitOf<K>): Value;
  /** G(s), elementwise; its slope inside the domain is act^-1(s). */
  selfEnergy(b: Builder, s: Value, unit: UnitOf<K>): Value;
  /** k where G is k*s^2/2 on the domain; undefined where G is no parabola. */
  curvature(unit: UnitOf<K>): number | undefined;
  /** Whether `act` extends to complex states (holomorphic EP). */
  readonly isHolomorphic: boolean;
}

/** x*ln(x), continued by 0 at 0. */
function xLogX(b: Builder, x: Value): Value {
  const positive = b.binary("lt", b.full(x, 0), x);
  const safe = b.where(positive, x, b.full(x, 1));
  return b.mul(safe, b.unary("log", safe));
}

const parabola = (b: Builder, s: Value, k: number): Value =>
  b.mul(real(b, k / 2, s), b.mul(s, s));
const one = (b: Builder, like: Value): Value => b.full(like, 1);

export const unitRules: { readonly [K in UnitKind]: UnitRule<K> } = {
  clamp: {
    domain: ({ low, high }) => ({ low, high }),
    activation: (b, v, { slope, low, high }) =>
      clampTo(b, slope === 1 ? v : b.mul(real(b, slope, v), v), low, high),
    selfEnergy: (b, s, { slope }) => parabola(b, s, 1 / slope),
    curvature: ({ slope }) => 1 / slope,
    isHolomorphic: false,
  },
  sigmoid: {
    domain: () => ({ low: 0, high: 1 }),
    activation(b, v, { gain, offset }) {
      const x = b.addition(b.mul(real(b, gain, v), v), real(b, offset, v));
      return b.div(one(b, x), b.addition(one(b, x), b.unary("exp", b.unary("neg", x))));
    },
    // G' = (ln(s/(1-s)) - offset)/gain
    selfEnergy(b, s, { gain, offset }) {
      const entropy = b.addition(xLogX(b, s), xLogX(b, b.sub(one(b, s), s)));
      return b.mul(real(b, 1 / gain, s), b.sub(entropy, b.mul(real(b, offset, s), s)));
    },
    curvature: () => undefined,
    isHolomorphic: true,
  },
  tanh: {
    domain: () => ({ low: -1, high: 1 }),
    activation: (b, v) => b.unary("tanh", v),
    // s*atanh(s) + ln(1-s^2)/2 = ((1+s)ln(1+s) + (1-s)ln(1-s))/2
    selfEnergy: (b, s) => b.mul(b.full(s, 0.5), b.addition(
      xLogX(b, b.addition(one(b, s), s)), xLogX(b, b.sub(one(b, s), s)))),
    curvature: () => undefined,
    isHolomorphic: true,
  },
  linear: {
    domain: () => ({ low: -Infinity, high: Infinity }),
    activation: (_b, v) => v,
    selfEnergy: (b, s) => parabola(b, s, 1),
    curvature: () => 1,
    isHolomorphic: true,
  },
};

export const unitRule = (unit: Unit): UnitRule<UnitKind> =>
  unitRules[unit.kind] as unknown as UnitRule<UnitKind>;

/** min(max(v, low), high), without the side that is infinite. */
export function clampTo(b: Builder, v: Value, low: number, high: number): Value {
  const above = low === -Infinity ? v : b.max(v, real(b, low, v));
  return high === Infinity ? above : b.min(above, real(b, high, v));
}

export const activate = (b: Builder, v: Value, unit: Unit): Value =>
  unitRule(unit).activation(b, v, unit as never);

export const hardSigmoid: Unit = { kind: "clamp", slope: 1, low: 0, high: 1 };
export const smoothSigmoid: Unit = { kind: "sigmoid", gain: 4, offset: -2 };
export const tanhUnit: Unit = { kind: "tanh" };
export const linearUnit: Unit = { kind: "linear" };
export const relu: Unit = { kind: "clamp", slope: 1, low: 0, high: Infinity };
