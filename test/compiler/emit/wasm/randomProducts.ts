/**
 * Random sums of products over operands that are read through guards: padded, sliced with steps,
 * flipped, transposed and joined arrays, windows of them, grouped and with a batch known at run
 * time only. Elements are such that every sum is exact in its type, so that results can be compared
 * bit by bit. `randomKernels.ts` draws kernels; this draws the graphs that people write.
 */
import { Builder } from "../../../../compiler/graph/builder.ts";
import { addDims, evalShape, symbol, type Dim } from "../../../../compiler/graph/dim.ts";
import { integerRange, type DType } from "../../../../compiler/graph/dtype.ts";
import type { Graph, Value } from "../../../../compiler/graph/graph.ts";
import { newData, sizeOf, type Tensor } from "../../../../compiler/graph/tensor.ts";
import type { Random } from "../../../support/randomGraph.ts";

export interface RandomProduct {
  readonly graph: Graph;
  readonly inputs: Map<string, Tensor>;
}

const NARROW: readonly DType[] = ["int8", "uint8", "int16"];

class Drawing {
  readonly b = new Builder();
  readonly inputs = new Map<string, Tensor>();
  readonly r: Random;
  readonly batch: number;
  constructor(r: Random) {
    this.r = r;
    this.batch = r.int(1, 3);
    // Tells what N is, which an operand of N + 1 rows does not.
    this.#input("float32", [symbol("N")]);
  }

  /** Integers of the whole range, or float32 halves of -8 to 8. */
  #input(dtype: DType, shape: readonly Dim[]): Value {
    const dims = evalShape(shape, { N: this.batch });
    const data = newData(dtype, sizeOf(dims));
    const { min, max } = dtype === "float32" ? { min: -16, max: 16 } : integerRange(dtype);
    for (let i = 0; i < data.length; i++) {
      data[i] = dtype === "float32" ? this.r.int(min, max) / 2 : this.r.int(min, max);
    }
    const name = `x${this.inputs.size}`;
    this.inputs.set(name, { dtype, shape: dims, data, splat: false });
    return this.b.input(name, { dtype, shape });
  }

  /** A value of the shape, made by up to `depth` steps of moving elements about. */
  value(dtype: DType, shape: readonly Dim[], depth: number): Value {
    const { b, r } = this;
    if (depth === 0) return this.#input(dtype, shape);
    const of = (from: readonly Dim[]): Value => this.value(dtype, from, depth - 1);
    const isKnown = (d: Dim): d is number => typeof d === "number";
    switch (r.int(0, 6)) {
      case 0: case 1: {
        const low = shape.map((d) => (isKnown(d) ? r.int(0, Math.min(2, d - 1)) : 0));
        const high = shape.map((d, i) =>
          (isKnown(d) ? r.int(0, Math.min(2, d - 1 - (low[i] as number))) : 0));
        const inner = shape.map((d, i) =>
          (isKnown(d) ? d - (low[i] as number) - (high[i] as number) : d));
        return b.pad(of(inner), low, high, r.int(0, 2));
      }
      case 2: {
        const steps = shape.map((d) => (isKnown(d) ? r.int(1, 2) : 1));
        const starts = shape.map(() => r.int(0, 1));
        const outer = shape.map((d, i) => (isKnown(d)
          ? (starts[i] as number) + (d - 1) * (steps[i] as number) + r.int(1, 2)
          : addDims(d, starts[i] as number)));
        return b.slice(of(outer), starts, shape, steps);
      }
      case 3: {
        const axis = r.int(0, shape.length - 1);
        const size = shape[axis] as Dim;
        if (!isKnown(size) || size < 2) return of(shape);
        const first = r.int(1, size - 1);
        const parts = [first, size - first].map((n) => shape.map((d, i) => (i === axis ? n : d)));
        return b.concat(parts.map(of), axis);
      }
      case 4: return b.flip(of(shape), shape.flatMap((_, i) => (r.next() < 0.3 ? [i] : [])));
      case 5: {
        const perm = shape.map((_, i) => i).sort(() => r.next() - 0.5);
        return b.transpose(of(perm.map((_, i) => shape[perm.indexOf(i)] as Dim)), perm);
      }
      default: return of(shape);
    }
  }

  /** As int32 where it is a narrow integer, perhaps less a zero point. */
  wide(v: Value): Value {
    const { b, r } = this;
    if (v.type.dtype === "float32") return v;
    if (v.type.dtype === "int16" || r.next() < 0.5) return b.cast(v, "int32");
    const between = b.cast(v, "int16");
    return b.cast(b.sub(between, b.full(between, r.int(-9, 130))), "int32");
  }
}

/** A product of the type, float32 or pairs of narrow integers. */
export function randomProduct(r: Random, isFloat: boolean): RandomProduct {
  const drawing = new Drawing(r);
  const { b } = drawing;
  const dtype = (): DType => (isFloat ? "float32" : r.pick(NARROW));
  const operand = (shape: readonly Dim[]): Value =>
    drawing.wide(drawing.value(dtype(), shape, r.int(0, 2)));
  const batch: Dim = r.next() < 0.7 ? symbol("N") : drawing.batch;
  const groups = r.next() < 0.2 ? 2 : 1;
  const [channels, outputs] = [groups * r.int(1, 3), groups * r.int(2, 7)];
  const taps = [r.int(1, 5), r.int(1, 5)];
  const strides = [r.int(1, 2), r.int(1, 2)];
  const dilations = [r.int(1, 2), r.int(1, 2)];
  const low = taps.map((n) => r.int(0, n));
  const high = taps.map((n) => r.int(0, n));
  const size = taps.map((n, i) => Math.max(r.int(3, 25) - (low[i] as number) - (high[i] as number),
    (n - 1) * (dilations[i] as number) + 1));

  const product = (): Value => {
    if (r.next() < 0.15) {
      const k = r.int(4, 40);
      return b.dot(operand([batch, r.int(1, 20), k]), operand([k, r.int(4, 30)]), 0, 1);
    }
    const x = operand([batch, channels, ...size]);
    const w = operand([outputs, channels / groups, ...taps]);
    if (groups > 1 || r.next() < 0.5) {
      return b.add("conv", [x, w], { strides, dilations, low, high, groups });
    }
    // What a convolution means, spelled out, with the weights at either side.
    const padded = b.pad(x, [0, 0, ...low], [0, 0, ...high], 0);
    const windows = b.add("window", [padded], { sizes: taps, strides, dilations });
    return r.next() < 0.5
      ? b.dot(w, b.transpose(windows, [1, 4, 5, 0, 2, 3]), 0, 3)
      : b.dot(b.transpose(windows, [0, 2, 3, 1, 4, 5]), b.transpose(w, [1, 2, 3, 0]), 0, 3);
  };
  return { graph: b.finish([{ name: "y", value: product() }]), inputs: drawing.inputs };
}
