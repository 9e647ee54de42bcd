/**
 * Contractions: the menu of ways to compute one, and the choice by shape. Tiles in workgroup memory
 * where both sides are long enough to reuse what is loaded; else as a reduction over k, shared by a
 * workgroup (matrix times vector) or serial (a few products).
 */
import type { Dim } from "../../graph/dim.ts";
import type { ContractBody } from "../../kernels/kernel.ts";
import { number, usesAxis, type NumberedAxis } from "./linear.ts";
import { extentOf, type Entry, type Module } from "./module.ts";
import type { DeviceProfile } from "./profile.ts";
import { emitReduction } from "./reduce.ts";
import { emitTiled, tileBytes, tileSize, type Product, type TilePlan } from "./tile.ts";

interface MenuItem extends TilePlan {
  /**
   * Share of the arithmetic rate, relative to the first, that a full tile reaches: a block of r x c
   * outputs reads r + c elements of workgroup memory for r*c products.
   */
  readonly rate: number;
}

const menu: readonly MenuItem[] = [
  { threads: [8, 8], block: [8, 8], depth: 16, rate: 1 },
  { threads: [8, 8], block: [4, 8], depth: 16, rate: 0.85 },
  { threads: [8, 8], block: [4, 4], depth: 16, rate: 0.7 },
  { threads: [4, 16], block: [4, 4], depth: 16, rate: 0.65 },
  { threads: [16, 4], block: [4, 4], depth: 16, rate: 0.65 },
];
/** With so many workgroups every core of a GPU has some. */
const enoughTiles = 256;
/** Below this a tile would be mostly empty. */
const shortSide = 8;
const unknownExtent = 64;

export function emitContract(module: Module, body: ContractBody): Entry {
  const product = regroup(productOf(body));
  const plan = planFor(product, module.profile);
  if (plan) return emitTiled(module, product, plan);
  const { batch, m, n, k, a, b, store } = productOf(body);
  return emitReduction(module,
    { axes: [...batch, ...m, ...n], reduceAxes: k, op: "sum", factors: [a, b], store });
}

function productOf({ batch, m, n, k, a, b, store }: ContractBody): Product {
  let first = 0;
  const next = (axes: ContractBody["m"]): NumberedAxis[] => {
    first += axes.length;
    return number(axes, first - axes.length);
  };
  return { batch: next(batch), m: next(m), n: next(n), k: next(k), a, b, store };
}

/**
 * A batch axis that one operand does not depend on (the images of a convolution) joins the other
 * operand's side, where that alone would not fill its tiles.
 */
function regroup(product: Product): Product {
  const { a, b } = product;
  const isUneven = (axes: readonly NumberedAxis[]): boolean => {
    const extent = extentOf(axes);
    return typeof extent !== "number" || extent % 32 !== 0;
  };
  const batch: NumberedAxis[] = [];
  const [m, n] = [[...product.m], [...product.n]];
  for (const axis of product.batch.toReversed()) {
    if (isUneven(n) && !usesAxis(a, axis.axis)) n.unshift(axis);
    else if (isUneven(m) && !usesAxis(b, axis.axis)) m.unshift(axis);
    else batch.unshift(axis);
  }
  return { ...product, batch, m, n };
}

const guess = (extent: Dim): number => (typeof extent === "number" ? extent : unknownExtent);

/**
 * The plan with the least time for the shape: padded products over the rate, longer when there are
 * too few tiles to go round. Undefined when tiles do not pay at all.
 */
export function planFor({ batch, m, n, k }: Product, profile: DeviceProfile): TilePlan | undefined {
  const [M, N, K] = [m, n, k].map((axes) => guess(extentOf(axes))) as [number, number, number];
  if (Math.min(M, N, K) < shortSide) return undefined;
  const fitting = menu.filter((plan) => tileBytes(plan) <= profile.workgroupBytes &&
    plan.threads[0] * plan.threads[1] <= profile.workgroupInvocations);
  const time = (plan: MenuItem): number => {
    const [rows, columns] = tileSize(plan);
    const tiles = guess(extentOf(batch)) * Math.ceil(M / rows) * Math.ceil(N / columns);
    return (tiles * rows * columns) / (plan.rate * Math.min(1, tiles / enoughTiles));
  };
  return fitting.reduce<MenuItem | undefined>(
    (best, plan) => (best && time(best) <= time(plan) ? best : plan), undefined);
}
