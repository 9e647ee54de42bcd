/**
 * Potentials of an array that `dissection.ts` reduced: the eliminated nodes are visited in the
 * opposite order, and each is the weighted mean of nodes already known. No sums of mixed sign, so
 * no conductance ratio hurts; the price is n^3 once per array. Linear cells supplied over rows.
 */

import type { Dissection } from "./dissection.ts";
import { Ledger } from "./ledger.ts";
import type { Network } from "./network.ts";
import type { Geometry } from "./problem.ts";

/** The books of the array settled under the given row voltages. */
export function settleByElimination(
  geometry: Geometry, network: Network, dissection: Dissection, volt: Float64Array,
): Ledger {
  const { circuit, rowsPerNode } = geometry;
  const { rows, cols, conductance } = circuit;
  const { wordNode, bitNode } = network;
  const ledger = new Ledger(geometry, volt);
  // Potentials are found relative to a base, the driver's on row nodes and 0 V on bit lines, so
  // that drops along strong wires keep all their digits.
  const base = new Float64Array(network.nodes);
  for (let i = 0; i < rows; i++) {
    base[i] = volt[i]!;
    for (let c = i * cols; c < (i + 1) * cols; c++) base[wordNode[c]!] = volt[i]!;
  }
  for (let c = 0; c < bitNode.length; c++) base[bitNode[c]!] = 0;
  const above = relativePotentials(dissection, network, base);
  for (let i = 0, c = 0; i < rows; i++) {
    const position = Math.floor(i / rowsPerNode);
    for (let j = 0; j < cols; j++, c++) {
      const word = wordNode[c]!;
      ledger.supplyDrop[c] = volt[i]! - base[word]! - above[word]!;
      ledger.bitDrop[position * cols + j] = above[bitNode[c]!]!;
    }
  }
  const { segment, first, last } = geometry.supply;
  ledger.weigh((cellVolt, out) => {
    const u = ledger.supplyDrop;
    for (let c = 0; c < out.length; c++) {
      if (conductance[c]! < Infinity) {
        out[c] = conductance[c]! * cellVolt[c]!;
        continue;
      }
      const j = c % cols;
      const before = j === 0 ? first * u[c]! : segment * (u[c]! - u[c - 1]!);
      out[c] = before + (j === cols - 1 ? last * u[c]! : segment * (u[c]! - u[c + 1]!));
    }
  });
  return ledger;
}

/** Every node's potential less its base; terminals are at their base. */
function relativePotentials(
  dissection: Dissection, network: Network, base: Float64Array,
): Float64Array {
  const above = new Float64Array(network.nodes);
  for (let f = dissection.fronts.length - 1; f >= 0; f--) {
    const { ids, eliminated, weights } = dissection.fronts[f]!;
    const size = ids.length;
    for (let k = eliminated - 1; k >= 0; k--) {
      const own = base[ids[k]!]!;
      let sum = 0;
      for (let l = k + 1, at = k * size + l; l < size; l++, at++) {
        const id = ids[l]!;
        sum += weights[at]! * (above[id]! + (base[id]! - own));
      }
      above[ids[k]!] = sum;
    }
  }
  return above;
}

/**
 * `[node][terminal]`: the potentials of all nodes with one terminal at 1 V and all others at 0 V,
 * for `count` terminals from node id `first` on.
 */
export function unitPotentials(
  dissection: Dissection, network: Network, first: number, count: number,
): Float64Array {
  const out = new Float64Array(network.nodes * count);
  for (let t = 0; t < count; t++) out[(first + t) * count + t] = 1;
  for (let f = dissection.fronts.length - 1; f >= 0; f--) {
    const { ids, eliminated, weights } = dissection.fronts[f]!;
    const size = ids.length;
    for (let k = eliminated - 1; k >= 0; k--) {
      const target = ids[k]! * count;
      const row = k * size;
      let l = k + 1;
      for (; l + 3 < size; l += 4) {
        const w0 = weights[row + l]!, w1 = weights[row + l + 1]!;
        const w2 = weights[row + l + 2]!, w3 = weights[row + l + 3]!;
        const s0 = ids[l]! * count, s1 = ids[l + 1]! * count;
        const s2 = ids[l + 2]! * count, s3 = ids[l + 3]! * count;
        for (let t = 0; t < count; t++) {
          out[target + t]! += w0 * out[s0 + t]! + w1 * out[s1 + t]! +
            (w2 * out[s2 + t]! + w3 * out[s3 + t]!);
        }
      }
      for (; l < size; l++) {
        const w = weights[row + l]!;
        const source = ids[l]! * count;
        for (let t = 0; t < count; t++) out[target + t]! += w * out[source + t]!;
      }
    }
  }
  return out;
}
