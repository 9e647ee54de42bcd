/**
 * Weights as the arrays of a chip hold them: encoded, programmed, aged, behind their wires, and
 * decoded again with what the digital side knows of them. For everything that wants the linear part
 * of a chip as one matrix: learning with a chip in the loop, and training for one. Converters are
 * no part of it; read noise is, as one draw for all reads that come close together.
 */
import { encodingFrom, emitBlocks, type Crossbars } from "../../compiler/emit/crossbar/emit.ts";
import type { Encoding } from "../../compiler/emit/crossbar/encoding.ts";
import { sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import type { MatrixView } from "../../compiler/partition/units.ts";
import type { Device } from "../../targets/device.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import { checkedTime } from "./cells.ts";
import type { Compensation } from "./compensation.ts";
import type { Imperfections } from "./imperfections.ts";
import { layoutOf, placeOf, type BlockLayout } from "./layout.ts";
import { keyOf, normalAt, type Key } from "./normal.ts";
import { programBlock, type ChipSetting } from "./programBlock.ts";
import type { BlockMatrices } from "./tileMatrix.ts";
import type { Second } from "../../targets/units.ts";

/** The chip that weights are put on. */
export interface WeightChip {
  readonly target: HybridTarget;
  /** Device model of its cells. */
  readonly cells: Device;
  readonly imperfections: Imperfections;
  readonly seed: number;
  /** From programming to reading; the device's first measurement unless given. */
  readonly time?: Second | undefined;
  readonly repair?: boolean | undefined;
  readonly compensation?: Compensation | undefined;
}

/** A weight tensor with the view of it that its arrays take. */
export interface ChipWeightsRequest {
  readonly name: string;
  readonly shape: readonly number[];
  readonly view: MatrixView;
  /** Whether what lies between groups that share arrays is asked for as well. */
  readonly packed?: boolean | undefined;
}

/** Weights as they are on one chip. */
export interface HeldWeights {
  /**
   * In the order of the tensor; packed, as [packs, groups, outputs, groups, inputs], where what
   * inputs of one group give to outputs of another lies beside the weights.
   */
  readonly weights: Float32Array;
  /** The same with the noise of read number `read`. */
  noisy(read: number): Float32Array;
}

/**
 * Puts weights on the arrays of chip number `trial`.
 * @throws UserError when a weight is not finite, or an array holds none of them
 */
export function putOnChip(
  chip: WeightChip, { name, shape, view, packed = false }: ChipWeightsRequest,
  data: Float32Array, trial: number,
): HeldWeights {
  const held = tensor("float32", shape, data);
  const emitted = emitBlocks(
    [{ id: name, nodes: [], matrix: { ...view, name, tensor: held } }], chip.target);
  const setting = settingOf(chip, emitted);
  const [crossbar] = emitted.config.blocks as [(typeof emitted.config.blocks)[number]];
  const layout = layoutOf(emitted.config, crossbar);
  const matrices = programBlock({ crossbar, weights: () => held }, setting, layout, trial,
    chip.imperfections.readNoise);
  const decoded = decode(emitted, setting, layout, matrices,
    packed ? packedOrder(layout) : tensorOrder(crossbar.matrix, sizeOf(shape)));
  return {
    weights: Float32Array.from(decoded.weights),
    noisy: (read) => withNoise(decoded, keyOf(chip.seed, "weight read", trial, name, read)),
  };
}

function settingOf(chip: WeightChip, { config, tensors }: Crossbars): ChipSetting {
  const { target: { noise }, cells, imperfections, seed, repair, compensation } = chip;
  const stored = new Map(tensors.map((t) => [t.name, t]));
  return {
    config, cells, imperfections, seed, repair, compensation,
    time: checkedTime(chip.time, cells),
    noise: {
      temperature: noise.temperature.value, bandwidth: noise.bandwidth.value,
      read: noise.read.value,
    },
    read: (name) => {
      const [only] = stored.get(name)?.chunks() ?? [];
      return only ?? new Float32Array(0);
    },
  };
}

interface Decoded {
  readonly weights: Float64Array;
  readonly variance: Float64Array | undefined;
}

/** Where decoded numbers go. */
interface Order {
  readonly size: number;
  /**
   * Place of what an input of the group `from` gives to an output of a group of the same pack;
   * none where nobody asks.
   */
  at(group: number, output: number, from: number, input: number): number | undefined;
}

const tensorOrder = ({ strides }: MatrixView, size: number): Order => ({
  size,
  at: (group, output, from, input) => (from !== group ? undefined
    : group * strides.group + output * strides.output + input * strides.input),
});

function packedOrder({ packs, groupsPerPack, colsN, rowsK }: BlockLayout): Order {
  const packOf = packs.flatMap(({ count }, pack) => new Array<number>(count).fill(pack));
  return {
    size: packs.length * groupsPerPack ** 2 * colsN * rowsK,
    at: (group, output, from, input) => {
      const pack = packOf[group] as number;
      const start = (packs[pack] as { start: number }).start;
      const line = (pack * groupsPerPack + group - start) * colsN + output;
      return (line * groupsPerPack + from - start) * rowsK + input;
    },
  };
}

/** Adds up the slices and sides of every weight; the digital zero is taken off each. */
function decode(
  { config }: Crossbars, { read }: ChipSetting, layout: BlockLayout, matrices: BlockMatrices,
  order: Order,
): Decoded {
  const encoding: Encoding = encodingFrom(config);
  const [crossbar] = config.blocks as [(typeof config.blocks)[number]];
  const scales = read(crossbar.scales);
  const { columns, rows, slices, sides, colsN } = layout;
  const levels = encoding.bits === "continuous" ? 1 : 2 ** encoding.bits - 1;
  const isDigitalZero = encoding.scheme === "offset" &&
    (config.input.coding === "digital" || encoding.subtract === "digital");
  const zero = isDigitalZero ? encoding.zero : 0;
  const weights = new Float64Array(order.size);
  const variance = matrices.variance && new Float64Array(order.size);
  for (const tile of crossbar.tiles) {
    const place = placeOf(layout, tile);
    const inputs = tile.inputs.count;
    for (let g = 0; g < tile.groups.count; g++) {
      const group = tile.groups.start + g;
      for (let o = 0; o < tile.outputs.count; o++) {
        const output = tile.outputs.start + o;
        const scale = (scales[group * colsN + output] as number) * encoding.gain;
        const first = place.column(g, o);
        for (let r = 0; r < tile.groups.count * inputs; r++) {
          const from = tile.groups.start + Math.floor(r / inputs);
          const at = order.at(group, output, from, tile.inputs.start + (r % inputs));
          if (at === undefined) continue;
          const line = (place.chunk + Math.floor(r / rows)) * columns + first;
          // The zero of an offset is taken off what drives the group's own rows.
          let [sum, squares] = [from === group ? -zero : 0, 0];
          for (let k = 0; k < slices * sides; k++) {
            const share = (encoding.significance[Math.floor(k / sides)] as number) / levels;
            const cell = (line + k) * rows + (r % rows);
            sum += (k % sides ? -share : share) * (matrices.weights[cell] as number);
            squares += share ** 2 * (matrices.variance?.[cell] ?? 0);
          }
          weights[at] = scale * sum;
          if (variance) variance[at] = scale ** 2 * squares;
        }
      }
    }
  }
  return { weights, variance };
}

function withNoise({ weights, variance }: Decoded, key: Key): Float32Array {
  return Float32Array.from(weights, (w, i) =>
    w + (variance ? Math.sqrt(variance[i] as number) * normalAt(key, i) : 0));
}
