/**
 * The slow and obvious chip: nested loops over positions, tiles, rows, bits and slices in float64,
 * written from the schema's description of each coding and sharing nothing with the simulation but
 * the configuration. Where a current is so near the border between two codes that float32 may fall
 * to either side, the difference that would make is added to the allowed error.
 */
import type { CrossbarBlock, CrossbarConfig } from "../../../compiler/emit/crossbar/config.ts";
import type { Graph, Node, Value } from "../../../compiler/graph/graph.ts";
import { bindInputs, evaluateNode } from "../../../compiler/graph/evaluate.ts";
import { sizeOf, type Tensor } from "../../../compiler/graph/tensor.ts";
import { findHeart, type Heart } from "../../../runtime/chip/operand.ts";

/** A contraction as loops: sizes, the input of (group, k, position), the place of a result. */
interface Loops {
  readonly positions: number;
  input(group: number, k: number, position: number): number;
  output(group: number, column: number, position: number): number;
  readonly shape: readonly number[];
}

const at = (t: Tensor, flat: number): number => t.data[flat] as number;

function convLoops(heart: Node<"conv">, x: Tensor, shape: readonly number[]): Loops {
  const { strides, dilations, low, groups } = heart.attrs;
  const w = (heart.inputs[1] as Value).type.shape as number[];
  const taps = w.slice(2);
  const inner = x.shape.slice(2);
  const outs = shape.slice(2);
  const [channels, perGroup] = [w[1]!, w[0]! / groups];
  const digits = (flat: number, sizes: readonly number[]): number[] => {
    const out: number[] = [];
    for (let i = sizes.length - 1; i >= 0; i--) {
      out.unshift(flat % sizes[i]!);
      flat = Math.floor(flat / sizes[i]!);
    }
    return out;
  };
  return {
    positions: x.shape[0]! * sizeOf(outs), shape,
    input(group, k, position) {
      const tap = digits(k % sizeOf(taps), taps);
      const channel = group * channels + Math.floor(k / sizeOf(taps));
      const out = digits(position % sizeOf(outs), outs);
      let flat = Math.floor(position / sizeOf(outs)) * x.shape[1]! + channel;
      for (let i = 0; i < inner.length; i++) {
        const p = out[i]! * strides[i]! + tap[i]! * dilations[i]! - low[i]!;
        if (p < 0 || p >= inner[i]!) return 0;
        flat = flat * inner[i]! + p;
      }
      return at(x, flat);
    },
    output: (group, column, position) =>
      (Math.floor(position / sizeOf(outs)) * shape[1]! + group * perGroup + column) *
        sizeOf(outs) + (position % sizeOf(outs)),
  };
}

function dotLoops(
  heart: Node<"dot">, side: number, x: Tensor, shape: readonly number[],
): Loops {
  const { batch, contract } = heart.attrs;
  const groups = sizeOf(x.shape.slice(0, batch));
  const rest = x.shape.slice(batch);
  const k = sizeOf(side === 0 ? rest.slice(rest.length - contract) : rest.slice(0, contract));
  const positions = sizeOf(x.shape) / groups / k;
  const columns = sizeOf(shape) / groups / positions;
  return {
    positions, shape,
    input: (group, i, p) => at(x, side === 0
      ? (group * positions + p) * k + i : (group * k + i) * positions + p),
    output: (group, o, p) => side === 0
      ? (group * positions + p) * columns + o : (group * columns + o) * positions + p,
  };
}

/** What the rows get for one quantised input: digits with their weights in the digital sum. */
export interface Pulse {
  readonly digit: number;
  readonly weight: number;
  readonly bits: number;
  readonly kind: number;
}

/** Every pass of one product for one whole number, bit by bit. */
export function pulsesOf({ input, converter, encoding }: CrossbarConfig, x: number): Pulse[] {
  const { coding, sign, bits, sliceBits } = input;
  const polarities = input.phases === 1 ? [x] : [Math.max(x, 0), Math.max(-x, 0)];
  const signs = [1, -1];
  const bit = (n: number, k: number): number => Math.floor(n / 2 ** k) % 2;
  void encoding;
  return polarities.flatMap((value, polarity): Pulse[] => {
    const own = signs[polarity]!;
    const [magnitude, s] = [Math.abs(value), value < 0 ? -1 : 1];
    const stored = value < 0 && sign === "twos-complement" ? value + 2 ** bits : magnitude;
    const width = sign === "sign-magnitude" ? Math.max(1, bits - 1) : bits;
    if (coding === "bit-serial") {
      const count = Math.ceil(width / sliceBits);
      return Array.from({ length: count }, (_, slice) => {
        let digit = 0;
        for (let k = 0; k < sliceBits && slice * sliceBits + k < width; k++) {
          digit += bit(stored, slice * sliceBits + k) * 2 ** k;
        }
        const isSign = sign === "twos-complement" && slice === count - 1;
        return {
          digit: sign === "sign-magnitude" ? s * digit : digit, bits: converter.bits, kind: 0,
          weight: own * (isSign ? -1 : 1) * 2 ** (slice * sliceBits),
        };
      });
    }
    if (coding === "bit-serial-integrated") {
      const most = input.phaseBits ?? width;
      const groups = width <= most ? [width] : [Math.ceil(width / 2), Math.floor(width / 2)];
      let [left, given] = [width, converter.bits];
      return groups.map((count, kind) => {
        left -= count;
        let digit = 0;
        for (let k = 0; k < count; k++) {
          const isSign = sign === "twos-complement" && kind === 0 && k === count - 1;
          digit += bit(stored, left + k) * 2 ** k * (isSign ? -1 : 1);
        }
        const pulse = {
          digit: sign === "sign-magnitude" ? s * digit : digit,
          weight: own * 2 ** left, bits: given, kind,
        };
        given -= count;
        return pulse;
      });
    }
    return [{ digit: value, weight: own, bits: converter.bits, kind: 0 }];
  });
}

export interface OracleChip {
  readonly config: CrossbarConfig;
  readonly crossbar: CrossbarBlock;
  /** Conductances of a tile, siemens. */
  cells(tile: string): ArrayLike<number>;
  readonly scales: ArrayLike<number>;
  /** Of converters: value of one code per kind and slice; nothing is quantised without it. */
  readonly converters?: {
    readonly lsbs: readonly (readonly number[])[];
    /** Value of one step of the inputs. */
    readonly step: number;
    /** Gain and offset (in codes) of the converter of a column of a tile. */
    mismatch?(tile: string, column: number): { gain: number; offset: number };
    /** Code of an input by what is no quantiser, and by how many codes rounding may change it. */
    code?(tile: string, column: number, x: number, of: {
      bits: number; signed: boolean; kind: number;
    }): { code: number; clips: boolean; near: number };
  };
}

export interface OracleResult {
  readonly values: Float64Array;
  /** What codes near a border add to the allowed error. */
  readonly slack: Float64Array;
  /** Conversions beyond the range, and all, by tile. */
  readonly clipped: ReadonlyMap<string, { clipped: number; conversions: number }>;
  /** Column currents before conversion, by kind and slice. */
  readonly currents: readonly (readonly number[][])[];
}

const NEAR = 1e-4;

/** What the chip makes of a contraction. */
export function oracleProduct(loops: Loops, chip: OracleChip): OracleResult {
  const { config, crossbar, converters } = chip;
  const { encoding, cell, input } = config;
  const [gMin, gMax] = [cell.gMinSiemens, cell.gMaxSiemens];
  const span = encoding.bits === "continuous" ? 1 : 2 ** encoding.bits - 1;
  const step = (gMax - gMin) / span;
  const isPair = encoding.scheme !== "offset";
  const apart = isPair && (encoding.subtract === "digital" || input.phases === 4);
  const { rowsPerInput, slices } = crossbar.layout;
  const pairColumns = encoding.scheme === "differential-columns" ? 2 : 1;
  const atOnce = Math.floor(config.array.rowsAtOnce / rowsPerInput);
  const sensed = input.coding === "digital";
  const values = new Float64Array(sizeOf(loops.shape));
  const slack = new Float64Array(values.length);
  const clipped = new Map<string, { clipped: number; conversions: number }>();
  const currents: number[][][] = [];
  const limits = { "sign-magnitude": [-(2 ** Math.max(1, input.bits - 1) - 1), 2 **
    Math.max(1, input.bits - 1) - 1], "twos-complement": [-(2 ** (input.bits - 1)),
    2 ** (input.bits - 1) - 1], unsigned: [0, 2 ** input.bits - 1] }[input.sign] as
    [number, number];
  const quantise = (x: number): number => {
    if (!converters) return x;
    const scaled = Math.fround(Math.fround(x) * Math.fround(1 / converters.step));
    const down = Math.floor(scaled);
    const nearest = scaled - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(scaled);
    return Math.min(Math.max(nearest, limits[0]), limits[1]);
  };
  const pulses = (x: number): Pulse[] => !converters || sensed
    ? [{ digit: x, weight: 1, bits: 0, kind: 0 }] : pulsesOf(config, x);
  const unit = converters?.step ?? 1;

  const convert = (
    v: number, pulse: Pulse, slice: number, tile: string, column: number, signed: boolean,
  ): { value: number; near: number } => {
    if (!converters || sensed) return { value: v, near: 0 };
    const high = signed ? 2 ** (pulse.bits - 1) - 1 : 2 ** pulse.bits - 1;
    if (pulse.bits < (signed ? 2 : 1)) return { value: 0, near: 0 };
    const lsb = converters.lsbs[pulse.kind]![slice]!;
    const { gain, offset } = converters.mismatch?.(tile, column) ?? { gain: 1, offset: 0 };
    const x = (gain * v) / lsb + offset;
    const held = clipped.get(tile) ?? { clipped: 0, conversions: 0 };
    held.conversions++;
    clipped.set(tile, held);
    ((currents[pulse.kind] ??= [])[slice] ??= []).push(v);
    const given = converters.code?.(tile, column, x, { ...pulse, signed });
    if (given ? given.clips : x < (signed ? -high : 0) - 0.5 || x > high + 0.5) held.clipped++;
    if (given) return { value: given.code * lsb, near: given.near * lsb };
    const code = Math.min(Math.max(Math.round(x), signed ? -high : 0), high);
    const inside = x > (signed ? -high : 0) - 1 && x < high + 1;
    const near = inside && Math.abs(Math.abs(x - Math.floor(x)) - 0.5) < NEAR ? lsb : 0;
    return { value: code * lsb, near };
  };

  crossbar.tiles.forEach((tile) => {
    const cells = chip.cells(tile.id);
    const inputs: { group: number; k: number }[] = [];
    for (let g = 0; g < tile.groups.count; g++) {
      for (let i = 0; i < tile.inputs.count; i++) {
        inputs.push({ group: tile.groups.start + g, k: tile.inputs.start + i });
      }
    }
    for (let p = 0; p < loops.positions; p++) {
      const driven = inputs.map(({ group, k }) => pulses(quantise(loops.input(group, k, p))));
      for (let g = 0; g < tile.groups.count; g++) {
        for (let o = 0; o < tile.outputs.count; o++) {
          const group = tile.groups.start + g;
          const output = tile.outputs.start + o;
          const out = loops.output(group, output, p);
          const scale = chip.scales[group * crossbar.matrix.colsN + output]! *
            encoding.gain * unit;
          for (let s = 0; s < slices; s++) {
            const column = ((g * tile.outputs.count + o) * slices + s) * pairColumns;
            const weight = scale * encoding.significance[s]! / span;
            for (let from = 0; from < inputs.length; from += atOnce) {
              for (let pass = 0; pass < (driven[0] as Pulse[]).length; pass++) {
                const sums = [0, 0, 0];
                for (let r = from; r < Math.min(from + atOnce, inputs.length); r++) {
                  const { digit } = driven[r]![pass]!;
                  const row = r * rowsPerInput;
                  const up = cells[row * tile.columns + column]!;
                  const down = !isPair ? 0 : encoding.scheme === "differential-rows"
                    ? cells[(row + 1) * tile.columns + column]!
                    : cells[row * tile.columns + column + 1]!;
                  const reference = encoding.referenceSiemens[s]!;
                  if (sensed) {
                    const level = (g0: number): number => encoding.bits === "continuous"
                      ? (g0 - gMin) / step
                      : Math.min(Math.max(Math.round((g0 - gMin) / step), 0), span);
                    sums[0]! += digit * (level(up) - (isPair ? level(down) : 0));
                  } else if (isPair && !apart) sums[0]! += (digit * (up - down)) / step;
                  else {
                    sums[1]! += (digit * (up - reference)) / step;
                    if (isPair) sums[2]! += (digit * (down - reference)) / step;
                  }
                }
                const one = driven[0]![pass]!;
                // With two phases or more a pass drives one polarity.
                const signedDigit = input.phases === 1 && (input.sign === "sign-magnitude" ||
                  (input.sign === "twos-complement" && input.coding !== "bit-serial"));
                const signedColumn = isPair ? !apart : encoding.subtract === "analog";
                const signed = signedDigit || signedColumn;
                const of = (v: number, c: number): { value: number; near: number } =>
                  convert(v, one, s, tile.id, c, signed);
                const local = (g * tile.outputs.count + o) * slices + s;
                const results = sensed || (isPair && !apart) ? [[1, of(sums[0]!, local)] as const]
                  : isPair ? [[1, of(sums[1]!, 2 * local)] as const,
                    [-1, of(sums[2]!, 2 * local + 1)] as const]
                    : [[1, of(sums[1]!, local)] as const];
                for (const [side, { value, near }] of results) {
                  values[out]! += side * weight * one.weight * value;
                  slack[out]! += Math.abs(weight * one.weight) * near;
                }
              }
            }
          }
          // The offset of every weight is taken off digitally, once per input.
          if (encoding.scheme === "offset" && (encoding.subtract === "digital" || sensed)) {
            for (let i = 0; i < tile.inputs.count; i++) {
              values[out]! -= scale * encoding.zero *
                quantise(loops.input(group, tile.inputs.start + i, p));
            }
          }
        }
      }
    }
  });
  return { values, slack, clipped, currents };
}

/** Loops of a block's contraction for given inputs of the block. */
export function loopsOf(
  graph: Graph, weights: string, inputs: ReadonlyMap<string, Tensor>,
): { loops: Loops; heart: Heart; drive: Tensor } {
  const { heart, input } = findHeart(graph, weights);
  const bindings = bindInputs(graph, new Map([...inputs].map(([n, t]) => [n, t.shape])));
  const known = new Map<Value, Tensor>(graph.inputs.map((v) => [v, inputs.get(v.name)!]));
  let drive: Tensor | undefined;
  let shape: readonly number[] = [];
  for (const node of graph.nodes) {
    const operands = node.inputs.map((v) => known.get(v)!);
    const value = evaluateNode(node, operands, bindings, "f32");
    known.set(node.outputs[0]!, value);
    if (node !== heart) continue;
    drive = operands[input]!;
    shape = value.shape;
  }
  const loops = heart.op === "conv" ? convLoops(heart as Node<"conv">, drive!, shape)
    : dotLoops(heart as Node<"dot">, input, drive!, shape);
  return { loops, heart, drive: drive! };
}

/** The block's result when its contraction gives `product`; epilogues of slope 1 at most. */
export function afterProduct(
  graph: Graph, heart: Heart, product: Float64Array, inputs: ReadonlyMap<string, Tensor>,
): Tensor {
  const bindings = bindInputs(graph, new Map([...inputs].map(([n, t]) => [n, t.shape])));
  const known = new Map<Value, Tensor>(graph.inputs.map((v) => [v, inputs.get(v.name)!]));
  for (const node of graph.nodes) {
    const operands = node.inputs.map((v) => known.get(v)!);
    const value = evaluateNode(node, operands, bindings, "f64");
    known.set(node.outputs[0]!, node === heart ? { ...value, data: product, splat: false } : value);
  }
  return known.get(graph.outputs[0]!.value)!;
}
