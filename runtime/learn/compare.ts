/** How far one gradient is from another: per parameter, and all of them as one vector. */

export type NamedNumbers = ReadonlyMap<string, ArrayLike<number>>;

export interface Agreement {
  /** 1 where both vanish; 0 where one does. */
  readonly cosine: number;
  /** |x - y|/|y|; 0 where both vanish, Infinity where only y does. */
  readonly relativeError: number;
}

interface Sums { xx: number; yy: number; xy: number; dd: number }

function addTo(sums: Sums, x: ArrayLike<number>, y: ArrayLike<number>): Sums {
  for (let i = 0; i < y.length; i++) {
    const [a, b] = [x[i] as number, y[i] as number];
    sums.xx += a * a;
    sums.yy += b * b;
    sums.xy += a * b;
    sums.dd += (a - b) * (a - b);
  }
  return sums;
}

function agreement({ xx, yy, xy, dd }: Sums): Agreement {
  const bothVanish = xx === 0 && yy === 0;
  return {
    cosine: bothVanish ? 1 : xx === 0 || yy === 0 ? 0 : xy / Math.sqrt(xx * yy),
    relativeError: bothVanish ? 0 : Math.sqrt(dd / yy),
  };
}

export interface Comparison {
  readonly parameters: readonly ({ readonly name: string } & Agreement)[];
  readonly overall: Agreement;
}

/** Compares `x` with the truth `y`, over the names in `y`. */
export function compareGradients(x: NamedNumbers, y: NamedNumbers): Comparison {
  const total: Sums = { xx: 0, yy: 0, xy: 0, dd: 0 };
  const parameters = [...y].map(([name, truth]) => {
    const found = x.get(name) ?? new Float64Array(truth.length);
    addTo(total, found, truth);
    return { name, ...agreement(addTo({ xx: 0, yy: 0, xy: 0, dd: 0 }, found, truth)) };
  });
  return { parameters, overall: agreement(total) };
}
