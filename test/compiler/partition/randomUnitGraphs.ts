/** Random unit graphs, and the slow oracle: every assignment, evaluated. */
import fc from "fast-check";
import { NO_COST } from "../../../compiler/partition/cost/cost.ts";
import type { Cost } from "../../../compiler/partition/cost/cost.ts";
import { HOST, allowed, evaluate } from "../../../compiler/partition/unitGraph.ts";
import type {
  Assignment,
  Placement,
  Totals,
  Unit,
  UnitGraph,
  UnitValue,
  Way,
} from "../../../compiler/partition/unitGraph.ts";

export const cost = (energyJ: number, latencyS = 0, areaM2 = 0): Cost => ({
  ...NO_COST,
  energyJ,
  latencyS,
  areaM2,
});

/** Costs over six decades, zero now and then, so that rounding and ties are both met. */
const amount = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) },
  {
    weight: 6,
    arbitrary: fc.double({ min: -9, max: -3, noNaN: true }).map((e) => 10 ** e),
  },
);
const anyCost = fc.tuple(amount, amount, amount).map(([e, l, a]) => cost(e, l, a));

const anyUnit = fc.record({
  digital: anyCost,
  analog: fc.option(anyCost, { nil: undefined, freq: 4 }),
  arrays: fc.integer({ min: 1, max: 9 }),
  pin: fc.integer({ min: 0, max: 19 }),
});

/** A directed acyclic graph of up to `most` units: values go from lower to higher numbers. */
export const unitGraphs = (most: number): fc.Arbitrary<UnitGraph> =>
  fc.integer({ min: 1, max: most }).chain((n) =>
    fc
      .tuple(
        fc.array(anyUnit, { minLength: n, maxLength: n }),
        fc.array(
          fc.tuple(
            fc.integer({ min: -1, max: n - 1 }),
            fc.uniqueArray(fc.integer({ min: 0, max: n }), { minLength: 1, maxLength: 4 }),
            anyCost,
            anyCost,
          ),
          { minLength: n, maxLength: 2 * n },
        ),
      )
      .map(([rawUnits, rawValues]) => {
        const units = rawUnits.map(
          ({ digital, analog, arrays, pin }, i): Unit => ({
            id: `u${i}`,
            name: `unit ${i}`,
            digital,
            analog,
            arrays,
            pinned: pin === 0 ? "digital" : pin === 1 && analog ? "analog" : undefined,
          }),
        );
        const name = (i: number): string => (i < 0 || i >= n ? HOST : `u${i}`);
        const values = rawValues.map(
          ([from, consumers, toAnalog, toDigital], i): UnitValue => ({
            name: `v${i}`,
            from: name(from),
            to: consumers.filter((c) => c > from).map(name),
            bytes: 1,
            toAnalog,
            toDigital,
          }),
        );
        return { units, values: values.filter(({ to }) => to.length > 0) };
      }),
  );

/** Some analog units may be had in copies too: faster and larger, a little more or less energy. */
export const withCopies = (graph: UnitGraph, most: number): UnitGraph => ({
  ...graph,
  units: graph.units.map((unit, i): Unit => {
    const { analog, arrays = 1 } = unit;
    if (analog === undefined || i % 2 === 0) return unit;
    const others = [2, 4, 8].filter((n) => n <= most).map((replicas): Way => ({
      cost: cost(analog.energyJ * (1 + (i % 3 - 1) / 10 / replicas), analog.latencyS / replicas,
        analog.areaM2 * replicas),
      arrays: arrays * replicas,
      replicas,
    }));
    return { ...unit, others };
  }),
});

/** The same units priced on a second target: other costs, twice the arrays, dearer links. */
export function onSecond(graph: UnitGraph): UnitGraph {
  const twisted = (c: Cost): Cost => cost(c.latencyS, c.energyJ, c.areaM2 / 2);
  return {
    units: graph.units.map(({ analog, arrays = 1, ...unit }): Unit => ({
      ...unit, ...(analog ? { analog: twisted(analog), arrays: 2 * arrays } : {}),
    })),
    values: graph.values.map((value) => ({
      ...value, toAnalog: twisted(value.toDigital), toDigital: twisted(value.toAnalog),
    })),
  };
}

/** Every assignment with its totals. */
export function enumerate(graph: UnitGraph): { assignment: Assignment; totals: Totals }[] {
  let all: Map<string, Placement>[] = [new Map()];
  for (const unit of graph.units) {
    all = allowed(unit).flatMap((side) => all.map((a) => new Map(a).set(unit.id, side)));
  }
  return all.map((assignment) => ({ assignment, totals: evaluate(graph, assignment) }));
}

/** Numbers from 0 to 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Units and values with costs, given who reads what each unit makes. */
function drawn(readers: readonly (readonly string[])[], random: () => number): UnitGraph {
  const small = (): Cost => cost(10 ** (-6 + 2 * random()), 10 ** (-6 + 2 * random()));
  const units = readers.map((_, i): Unit => ({
    id: `u${i}`,
    name: `u${i}`,
    digital: small(),
    analog: random() < 0.7 ? small() : undefined,
  }));
  const values = readers.map((to, i): UnitValue => ({
    name: `v${i}`,
    from: `u${i}`,
    to,
    bytes: 1,
    toAnalog: cost(10 ** (-7 + 2 * random()), 1e-7),
    toDigital: cost(10 ** (-7 + 2 * random()), 1e-7),
  }));
  return { units, values };
}

/** A chain of n units in which every third also feeds the one after the next. */
export const ladder = (n: number, seed: number): UnitGraph => drawn(
  Array.from({ length: n }, (_, i) => (i + 1 === n ? [HOST]
    : [`u${i + 1}`, ...(i % 3 === 0 && i + 2 < n ? [`u${i + 2}`] : [])])),
  randomFrom(seed));

/** n units between a first and a last one, put together in series and in parallel at random. */
export function seriesParallel(n: number, seed: number): UnitGraph {
  const random = randomFrom(seed);
  const readers = Array.from({ length: n }, () => new Set<string>());
  const link = (from: readonly number[], to: readonly number[]): void => {
    for (const f of from) for (const t of to) readers[f]?.add(`u${t}`);
  };
  /** Puts the units of a range together; gives those that begin and those that end it. */
  const join = (begin: number, end: number): { first: number[]; last: number[] } => {
    if (end - begin === 1) return { first: [begin], last: [begin] };
    const middle = begin + 1 + Math.floor(random() * (end - begin - 1));
    // A branch and a merge of one unit each keep the number of edges below twice the units.
    const isParallel = random() < 0.4 && end - begin > 3;
    if (!isParallel) {
      const [a, b] = [join(begin, middle), join(middle, end)];
      link(a.last, b.first);
      return { first: a.first, last: b.last };
    }
    const inner = Math.min(Math.max(middle, begin + 2), end - 2);
    const [a, b] = [join(begin + 1, inner), join(inner, end - 1)];
    link([begin], [...a.first, ...b.first]);
    link([...a.last, ...b.last], [end - 1]);
    return { first: [begin], last: [end - 1] };
  };
  for (const last of join(0, n).last) readers[last]?.add(HOST);
  return drawn(readers.map((to) => [...to]), random);
}
