/**
 * Kernel attributes of convolutions and poolings: strides, dilations, explicit and automatic pads,
 * and ceil mode, brought to one form with a pad per side.
 */
import type { Dim } from "../graph/dim.ts";
import { shapeOf, type Value } from "../graph/graph.ts";
import type { RuleContext } from "./context.ts";

export interface Spatial {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Pads before and after, as the model means them. */
  readonly low: readonly number[];
  readonly high: readonly number[];
  /** Further elements after, that ceil mode asks for and no average counts. */
  readonly extra: readonly number[];
}

/** Elements that a kernel spans. */
export const spanOf = (kernel: number, dilation: number): number => (kernel - 1) * dilation + 1;

/**
 * Reads the attributes of a node over `x` [N, C, spatial..].
 * @throws NeedsConcrete while a spatial size is symbolic
 */
export function spatialOf(c: RuleContext, x: Value, kernel: readonly number[]): Spatial {
  const extents = c.concreteShape(shapeOf(x).slice(2));
  const n = kernel.length;
  c.check(extents.length === n, `The kernel has ${n} axes, the operand ${extents.length}`);
  const list = (name: string, fallback: number, length: number): readonly number[] => {
    const given = c.ints(name, []);
    if (given.length === 0) return new Array<number>(length).fill(fallback);
    c.check(given.length === length, `The attribute "${name}" has ${given.length} entries`);
    return given;
  };
  const strides = list("strides", 1, n);
  const dilations = list("dilations", 1, n);
  c.check([...strides, ...dilations, ...kernel].every((v) => v >= 1 && v < 2 ** 31),
    "Strides, dilations and kernel sizes must be at least 1");
  const pads = list("pads", 0, 2 * n);
  const auto = c.choice("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID");
  const ceil = c.flag("ceil_mode");
  const low: number[] = [];
  const high: number[] = [];
  const extra: number[] = [];
  extents.forEach((extent, i) => {
    const stride = at(strides, i);
    const span = spanOf(at(kernel, i), at(dilations, i));
    let [before, after] = [0, 0];
    if (auto === "NOTSET") [before, after] = [at(pads, i), at(pads, n + i)];
    else if (auto !== "VALID") {
      const total = Math.max((Math.ceil(extent / stride) - 1) * stride + span - extent, 0);
      before = auto === "SAME_UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2);
      after = total - before;
    }
    low.push(before);
    high.push(after);
    const hangsOver = ceil && !auto.startsWith("SAME");
    extra.push(hangsOver ? ceilExtra(extent, before, after, stride, span) : 0);
  });
  return { kernel, strides, dilations, low, high, extra };
}

/** A last window that begins within the input or its front pad may hang over the end. */
function ceilExtra(
  extent: number, before: number, after: number, stride: number, span: number,
): number {
  const room = extent + before + after - span;
  if (room < 0) return 0;
  let steps = Math.ceil(room / stride);
  if (steps * stride >= extent + before) steps--;
  return Math.max(steps * stride - room, 0);
}

/** Number of positions of each kernel axis. */
export const outputsOf = (s: Spatial, extents: readonly number[]): number[] =>
  extents.map((extent, i) => {
    const room = extent + at(s.low, i) + at(s.high, i) + at(s.extra, i) -
      spanOf(at(s.kernel, i), at(s.dilations, i));
    return Math.floor(room / at(s.strides, i)) + 1;
  });

const at = (list: readonly number[], i: number): number => list[i] as number;

/** Pads of all axes from pads of the spatial ones. */
export const allAxes = (pads: readonly number[]): number[] => [0, 0, ...pads];

/** Windows of `x` [N, C, spatial..] as [N, C, positions.., kernel..]; pads hold `fill`. */
export function windows(c: RuleContext, x: Value, s: Spatial, fill: number): Value {
  const high = s.high.map((n, i) => n + at(s.extra, i));
  const padded = c.b.pad(x, allAxes(s.low), allAxes(high), fill);
  return c.b.add("window", [padded], {
    sizes: s.kernel, strides: s.strides, dilations: s.dilations,
  });
}

/** [C] as [C, 1, ..] so that it meets the channels of something with `rank` axes. */
export function perChannel(c: RuleContext, v: Value, rank: number): Value {
  c.check(shapeOf(v).length === 1, `"${v.name}" must be a vector with one entry per channel`);
  const ones = new Array<number>(Math.max(rank - 2, 0)).fill(1);
  return c.b.reshape(v, [shapeOf(v)[0] as Dim, ...ones]);
}
