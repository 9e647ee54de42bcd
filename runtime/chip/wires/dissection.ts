/**
 * The exact reduction of an array to its terminals, by nested dissection (George 1973): the array
 * is halved until a few cells are left; each half is reduced to the nodes it shares with the rest,
 * and the halves are joined again. What remains are the conductances between row and column
 * terminals, and these *are* the effective conductance matrix: with every other terminal at 0 V,
 * terminal j collects `sum_i Geff_ij v_i`.
 *
 * About 13 n^3 products for an n x n array, whatever the wire resistance is, against some 10 n^3
 * per conjugate-gradient iteration for n adjoint solves. Not used for single inputs: one
 * iterative solve costs n^2.
 */

import { InternalError } from "../../../compiler/errors.ts";
import type { Network } from "./network.ts";
import type { FrontShape } from "./starMesh.ts";
import { eliminateStars, meanWeights } from "./starMesh.ts";

/** Cells below which a block is reduced as one dense front. */
const leafCells = 8;

/** A dense network over a few nodes: what is left of a block. */
interface Block {
  readonly ids: Int32Array;
  /** How many resistors of each node are inside the block. */
  readonly seen: Int32Array;
  /** Strict upper triangle, row-major over `stride`, of the nodes from `offset` on. */
  readonly g: Float64Array;
  readonly stride: number;
  readonly offset: number;
}

/** The eliminated nodes of one front: each potential is a weighted mean of later nodes'. */
interface EliminatedFront {
  readonly ids: Int32Array;
  readonly eliminated: number;
  /** `[eliminated][ids.length]`; row k counts from column k + 1. */
  readonly weights: Float64Array;
}

export interface Dissection {
  /** `[row][col]`, siemens. */
  readonly conductance: Float64Array;
  /** In the order of elimination; empty unless asked for. */
  readonly fronts: readonly EliminatedFront[];
}

/** Reduces `network` to its terminals. With `keep`, keeps what potentials are recovered from. */
export function dissect(network: Network, keep: boolean): Dissection {
  const state: State = {
    network,
    keep,
    place: new Int32Array(network.nodes).fill(-1),
    members: new Int32Array(network.nodes),
    counts: new Int32Array(network.nodes),
    conductance: new Float64Array(network.rows * network.cols),
    fronts: [],
  };
  const rest = reduce(state, 0, network.rows, 0, network.cols);
  if (rest !== undefined) throw new InternalError("a node of the array was never eliminated");
  return { conductance: state.conductance, fronts: state.fronts };
}

interface State {
  readonly network: Network;
  readonly keep: boolean;
  /** Scratch: where a node stands in the front being built, -1 outside. */
  readonly place: Int32Array;
  /** Scratch: the nodes of the front being built, and how many of their resistors it holds. */
  readonly members: Int32Array;
  readonly counts: Int32Array;
  readonly conductance: Float64Array;
  readonly fronts: EliminatedFront[];
}

function reduce(
  state: State, top: number, bottom: number, left: number, right: number,
): Block | undefined {
  const { cutRow, cutCol } = state.network;
  const height = bottom - top;
  const width = right - left;
  const freeCut = (cutRow === 0 && width > 1) || (cutCol === 0 && height > 1);
  if (height * width <= leafCells && !freeCut) {
    return finish(state, leafFront(state, top, bottom, left, right));
  }
  // Cut the fewest lines; of two equal cuts the one that keeps the blocks square.
  const acrossRows = width > 1 ? cutRow * height : Infinity;
  const acrossCols = height > 1 ? cutCol * width : Infinity;
  if (acrossRows < acrossCols || (acrossRows === acrossCols && width >= height)) {
    const middle = (left + right) >> 1;
    const a = reduce(state, top, bottom, left, middle);
    const b = reduce(state, top, bottom, middle, right);
    return join(state, a, b);
  }
  // Rows 2p and 2p+1 may share their bit-line nodes: cut between pairs where there is a choice.
  const half = (top + bottom) >> 1;
  const even = half & ~1;
  const middle = even > top ? even : half;
  const a = reduce(state, top, middle, left, right);
  const b = reduce(state, middle, bottom, left, right);
  return join(state, a, b);
}

interface Front {
  /** Complete nodes first, then row terminals, column terminals, and what the rest shares. */
  readonly ids: Int32Array;
  readonly seen: Int32Array;
  readonly g: Float64Array;
  readonly shape: FrontShape;
}

/** An empty front over `count` members, with `place` telling where each stands in it. */
function openFront(state: State, count: number): Front {
  const { place, members, counts, network } = state;
  const { rows, degree } = network;
  const terminals = rows + network.cols;
  let eliminated = 0, rowTerminals = 0, colTerminals = 0;
  for (let m = 0; m < count; m++) {
    const id = members[m]!;
    if (id < rows) rowTerminals++;
    else if (id < terminals) colTerminals++;
    else if (counts[m] === degree[id]) eliminated++;
  }
  let complete = 0;
  let row = eliminated;
  let col = row + rowTerminals;
  let other = col + colTerminals;
  const ids = new Int32Array(count);
  const seen = new Int32Array(count);
  for (let m = 0; m < count; m++) {
    const id = members[m]!;
    const p = id < rows ? row++
      : id < terminals ? col++
        : counts[m] === degree[id] ? complete++ : other++;
    ids[p] = id;
    seen[p] = counts[m]!;
    place[id] = p;
  }
  const shape = { size: count, eliminated, rowTerminals, colTerminals };
  return { ids, seen, g: new Float64Array(count * count), shape };
}

function closeFront(state: State, front: Front): void {
  const { place } = state;
  const { ids } = front;
  for (let p = 0; p < ids.length; p++) place[ids[p]!] = -1;
}

function leafFront(
  state: State, top: number, bottom: number, left: number, right: number,
): Front {
  const { network, place, members, counts } = state;
  const { start, from, to, siemens, cols } = network;
  let count = 0;
  for (let i = top; i < bottom; i++) {
    const end = start[i * cols + right]!;
    for (let edge = start[i * cols + left]!; edge < end; edge++) {
      const a = from[edge]!;
      const b = to[edge]!;
      if (place[a]! < 0) {
        counts[count] = 0;
        members[place[a] = count++] = a;
      }
      if (place[b]! < 0) {
        counts[count] = 0;
        members[place[b] = count++] = b;
      }
      counts[place[a]!]!++;
      counts[place[b]!]!++;
    }
  }
  const front = openFront(state, count);
  const { g } = front;
  for (let i = top; i < bottom; i++) {
    const end = start[i * cols + right]!;
    for (let edge = start[i * cols + left]!; edge < end; edge++) {
      const a = place[from[edge]!]!;
      const b = place[to[edge]!]!;
      g[a < b ? a * count + b : b * count + a]! += siemens[edge]!;
    }
  }
  closeFront(state, front);
  return front;
}

function join(state: State, a: Block | undefined, b: Block | undefined): Block | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const { place, members, counts } = state;
  let count = a.ids.length;
  for (let p = 0; p < count; p++) {
    members[p] = a.ids[p]!;
    counts[p] = a.seen[p]!;
    place[members[p]!] = p;
  }
  for (let q = 0; q < b.ids.length; q++) {
    const id = b.ids[q]!;
    const p = place[id]!;
    if (p >= 0) {
      counts[p]! += b.seen[q]!;
    } else {
      members[count] = id;
      counts[count++] = b.seen[q]!;
    }
  }
  const front = openFront(state, count);
  addBlock(state, front, a);
  addBlock(state, front, b);
  closeFront(state, front);
  return finish(state, front);
}

function addBlock(state: State, front: Front, block: Block): void {
  const { place, members: target } = state;
  const { ids, stride, offset } = block;
  const from = block.g;
  const to = front.g;
  const size = front.shape.size;
  const count = ids.length;
  for (let p = 0; p < count; p++) target[p] = place[ids[p]!]!;
  for (let p = 0; p < count; p++) {
    const row = target[p]!;
    const source = (p + offset) * stride + offset;
    for (let q = p + 1; q < count; q++) {
      const col = target[q]!;
      to[row < col ? row * size + col : col * size + row]! += from[source + q]!;
    }
  }
}

/** Eliminates what a front has complete; hands on the rest, or books it when only terminals are. */
function finish(state: State, front: Front): Block | undefined {
  const { ids, g, shape } = front;
  const { size, eliminated, rowTerminals, colTerminals } = shape;
  eliminateStars(g, shape);
  if (state.keep && eliminated > 0) {
    state.fronts.push({ ids, eliminated, weights: meanWeights(g, shape) });
  }
  const firstCol = eliminated + rowTerminals;
  if (firstCol + colTerminals === size) {
    const { network, conductance } = state;
    for (let p = eliminated; p < firstCol; p++) {
      for (let q = firstCol; q < size; q++) {
        conductance[ids[p]! * network.cols + ids[q]! - network.rows]! += g[p * size + q]!;
      }
    }
    return undefined;
  }
  return {
    ids: ids.subarray(eliminated), seen: front.seen.subarray(eliminated), g, stride: size,
    offset: eliminated,
  };
}
