/**
 * Arrays that are read as memory: rows as stored words by sense amplifiers, the product in logic.
 * What a cell holds is then a digit, right or wrong for as long as it is programmed; no current is
 * added up, so wires, read noise and converters have no part in it. Where a device file has
 * measured error rates of its sensing they decide, otherwise the nearest level is what is read;
 * with cells that hold any conductance (levels switched off) a digit is any number.
 */
import type { CrossbarTile } from "../../compiler/emit/crossbar/config.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Device } from "../../targets/device.ts";
import { placeOf } from "./layout.ts";
import { uniformAt, type Key } from "./normal.ts";
import { levelStep, type BlockMatrices, type TileFill } from "./tileMatrix.ts";

export interface Sensing {
  /** Digits are whole numbers. */
  readonly levels: boolean;
  /** Measured error rates, drawn from once per pair of cells; the cells decide without them. */
  readonly errors?: { readonly device: Device; readonly key: Key };
}

/**
 * Adds the digits that a tile's cells are read as.
 * @param target conductances that were wanted, siemens
 * @param cells what they are
 * @throws UserError when error rates are given for cells that are not ternary pairs
 */
export function addSensedTile(
  fill: TileFill, tile: CrossbarTile,
  { target, cells }: { readonly target: ArrayLike<number>; readonly cells: Float64Array },
  { levels, errors }: Sensing, out: BlockMatrices,
): void {
  const { encoding, layout } = fill;
  const step = levelStep(encoding);
  const place = placeOf(layout, tile);
  const { rows, columns, slices } = layout;
  const inRows = encoding.scheme === "differential-rows";
  const isPair = encoding.scheme !== "offset";
  const perSlice = encoding.scheme === "differential-columns" ? 2 : 1;
  const toNegative = inRows ? tile.columns : 1;
  const exact = encoding.bits === "continuous" || !levels;
  const top = encoding.bits === "continuous" ? 1 : 2 ** encoding.bits - 1;
  if (errors && (!isPair || encoding.bits !== 1)) {
    throw new UserError("error rates of sensing are given for cells that are not ternary pairs", {
      place: `device ${errors.device.name}: sensing`,
      remedy: "Use 1 bit per cell in a differential scheme, or another device.",
    });
  }
  const level = (g: number): number => {
    const share = (g - encoding.gMin) / step;
    return exact ? share : Math.min(Math.max(Math.round(share), 0), top);
  };
  const digitOf = (from: ArrayLike<number>, cell: number): number => {
    const positive = level(from[cell] as number);
    return isPair ? positive - level(from[cell + toNegative] as number) : positive;
  };
  const perInput = inRows ? 2 * tile.columns : tile.columns;
  const inputs = tile.groups.count * tile.inputs.count;
  for (let g = 0; g < tile.groups.count; g++) {
    for (let o = 0; o < tile.outputs.count; o++) {
      for (let s = 0; s < slices; s++) {
        const first = ((g * tile.outputs.count + o) * slices + s) * perSlice;
        const column = (place.column(g, o) + s * layout.sides);
        for (let r = 0; r < inputs; r++) {
          const cell = first + r * perInput;
          const digit = errors ? misread(errors, digitOf(target, cell), cell)
            : digitOf(cells, cell);
          const chunk = place.chunk + Math.floor(r / rows);
          out.weights[(chunk * columns + column) * rows + (r % rows)] = digit;
        }
      }
    }
  }
}

/** What a stored -1, 0 or +1 is read as; a number between them errs like the nearest. */
function misread(
  { device, key }: Required<Sensing>["errors"], stored: number, cell: number,
): number {
  const nearest = Math.round(stored);
  const [minus, zero] = device.sensing?.errors[nearest + 1] as [number, number, number];
  const u = uniformAt(key, cell);
  const read = u < minus ? -1 : u < minus + zero ? 0 : 1;
  return read === nearest ? stored : read;
}
