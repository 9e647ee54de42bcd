/**
 * Star-mesh elimination of the first nodes of one dense resistor network, in place.
 *
 * Removing node k replaces its star of conductances by the mesh `g_il += g_ik g_kl / sum_m g_km`
 * (Rosen 1924; the resistor form of a Schur complement). Every operation adds or multiplies
 * numbers that are not negative, so each conductance of the result is right to a few roundings of
 * itself, however far apart the conductances of one array are. No diagonal is ever stored: it is
 * the sum of the row.
 *
 * This file knows nothing of arrays, rows or columns; `dissection.ts` says what to eliminate when.
 */

/** How the nodes of a front are ordered: eliminated, row terminals, column terminals, others. */
export interface FrontShape {
  readonly size: number;
  readonly eliminated: number;
  readonly rowTerminals: number;
  readonly colTerminals: number;
}

/**
 * Eliminates nodes `0 .. eliminated-1` of the network whose conductances are the strict upper
 * triangle of the row-major `size x size` matrix `g`. Row k of an eliminated node keeps the star
 * it had when it went. Conductances between two terminals of one kind carry nothing that is
 * asked for: they are not updated.
 */
export function eliminateStars(g: Float64Array, shape: FrontShape): void {
  const { size, eliminated } = shape;
  const inverse = new Float64Array(eliminated);
  for (let begin = 0; begin < eliminated; begin += panel) {
    const end = Math.min(begin + panel, eliminated);
    // Left-looking: the panel first receives every earlier star, then is reduced within itself.
    spread(g, size, inverse, 0, begin, begin, end, 0);
    for (let k = begin; k < end; k++) {
      const row = k * size;
      let sum = 0;
      for (let l = k + 1; l < size; l++) sum += g[row + l]!;
      // A node that nothing conducts to (every neighbour open) has no star to spread.
      const inv = inverse[k] = sum > 0 ? 1 / sum : 0;
      for (let i = k + 1; i < end; i++) {
        const share = g[row + i]! * inv;
        if (share === 0) continue;
        const target = i * size;
        for (let l = i + 1; l < size; l++) g[target + l]! += share * g[row + l]!;
      }
    }
  }
  const firstCol = eliminated + shape.rowTerminals;
  const firstOther = firstCol + shape.colTerminals;
  spread(g, size, inverse, 0, eliminated, eliminated, firstCol, firstCol);
  spread(g, size, inverse, 0, eliminated, firstCol, firstOther, firstOther);
  spread(g, size, inverse, 0, eliminated, firstOther, size, 0);
}

/** Rows of one panel: few enough for the within-panel part to be small, many enough to pay. */
const panel = 12;

/**
 * Adds the meshes of stars `starsFrom .. starsTo-1` to rows `from .. to-1`, columns from
 * `firstColumn` on (or from the row's own triangle where that is further right). Two rows and four
 * stars at a time: eight coefficients in registers, one load and store of the target for four
 * products.
 */
function spread(
  g: Float64Array, size: number, inverse: Float64Array, starsFrom: number, starsTo: number,
  from: number, to: number, firstColumn: number,
): void {
  if (starsTo === starsFrom) return;
  for (let i = from; i < to; i += 2) {
    const paired = i + 1 < to;
    const begin = Math.max(firstColumn, i + 1);
    const rowA = i * size;
    const rowB = rowA + size;
    let k = starsFrom;
    for (; k + 3 < starsTo; k += 4) {
      const p0 = k * size, p1 = p0 + size, p2 = p1 + size, p3 = p2 + size;
      const i0 = inverse[k]!, i1 = inverse[k + 1]!, i2 = inverse[k + 2]!, i3 = inverse[k + 3]!;
      const a0 = g[p0 + i]! * i0, a1 = g[p1 + i]! * i1;
      const a2 = g[p2 + i]! * i2, a3 = g[p3 + i]! * i3;
      if (!paired) {
        for (let l = begin; l < size; l++) {
          g[rowA + l]! += a0 * g[p0 + l]! + a1 * g[p1 + l]! + a2 * g[p2 + l]! + a3 * g[p3 + l]!;
        }
        continue;
      }
      const b0 = g[p0 + i + 1]! * i0, b1 = g[p1 + i + 1]! * i1;
      const b2 = g[p2 + i + 1]! * i2, b3 = g[p3 + i + 1]! * i3;
      for (let l = begin; l < size; l++) {
        const s0 = g[p0 + l]!, s1 = g[p1 + l]!, s2 = g[p2 + l]!, s3 = g[p3 + l]!;
        g[rowA + l]! += a0 * s0 + a1 * s1 + a2 * s2 + a3 * s3;
        // At l = i + 1 this writes row B's unused diagonal.
        g[rowB + l]! += b0 * s0 + b1 * s1 + b2 * s2 + b3 * s3;
      }
    }
    for (; k < starsTo; k++) {
      const p = k * size;
      const a = g[p + i]! * inverse[k]!;
      const b = paired ? g[p + i + 1]! * inverse[k]! : 0;
      for (let l = begin; l < size; l++) g[rowA + l]! += a * g[p + l]!;
      if (!paired) continue;
      for (let l = begin; l < size; l++) g[rowB + l]! += b * g[p + l]!;
    }
  }
}

/**
 * The weights by which each eliminated node's potential is the mean of later nodes':
 * `g_kl / sum_m g_km`, `[eliminated][size]`, row k from column k + 1 on.
 */
export function meanWeights(g: Float64Array, shape: FrontShape): Float64Array {
  const { size, eliminated } = shape;
  const weights = g.slice(0, eliminated * size);
  for (let k = 0; k < eliminated; k++) {
    let sum = 0;
    for (let at = k * size + k + 1; at < (k + 1) * size; at++) sum += weights[at]!;
    const inverse = sum > 0 ? 1 / sum : 0;
    for (let at = k * size + k + 1; at < (k + 1) * size; at++) weights[at]! *= inverse;
  }
  return weights;
}
