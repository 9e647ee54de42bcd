/**
 * Operators on tensors of rank 0 to 6 with axes of size 0 and 1, negative axes, indices and steps,
 * and broadcasting: imported from ONNX, then evaluated, interpreted and run on WASM, against plain
 * loops over indices that share no code with the compiler.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { optimise } from "../../../compiler/compile.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { elementAt, sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { specialise } from "../../../compiler/onnx/specialise.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { model, node, tensorType, type AttributeValue } from "../../support/onnxModel.ts";
import { Random } from "../../support/randomGraph.ts";
import { elements } from "../../support/threeWays.ts";

type Index = readonly number[];
interface Case {
  readonly operator: string;
  readonly operands: readonly Tensor[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly shape: Index;
  /** Element of the result. */
  at(index: Index): number;
}

const most = 6;

/** Small whole numbers, so that sums are exact in any order. */
function draw(r: Random, shape: Index): Tensor {
  return tensor("float32", shape, Array.from({ length: sizeOf(shape) }, () => r.int(-9, 9)));
}
/** Sizes 0 and 1 are common, so every rank meets them; at most a few hundred elements. */
function shapeOfRank(r: Random, rank: number, least = 0): number[] {
  const shape: number[] = [];
  for (let i = 0; i < rank; i++) {
    const room = sizeOf(shape) > 80 ? 1 : 4;
    shape.push(r.next() < 0.06 ? least : r.next() < 0.25 ? 1 : r.int(1, room));
  }
  return shape;
}
function read(t: Tensor, index: Index): number {
  let flat = 0;
  t.shape.forEach((d, i) => {
    flat = flat * d + (index[i] as number);
  });
  return elementAt(t, flat);
}
const ints = (values: Index): Tensor => tensor("int64", [values.length], values);
/** An axis as ONNX may name it: counted from either end. */
const named = (r: Random, axis: number, rank: number): number =>
  (r.next() < 0.5 ? axis : axis - rank);
const put = (index: Index, axis: number, value: number): number[] =>
  index.map((x, i) => (i === axis ? value : x));
const without = (index: Index, axes: readonly number[]): number[] =>
  index.filter((_, i) => !axes.includes(i));
function* indices(shape: Index): Generator<number[]> {
  for (let flat = 0; flat < sizeOf(shape); flat++) {
    let rest = flat;
    yield [...shape].reverse().map((d) => {
      const x = rest % d;
      rest = Math.floor(rest / d);
      return x;
    }).reverse();
  }
}
const someAxes = (r: Random, rank: number): number[] =>
  Array.from({ length: rank }, (_, i) => i).filter(() => r.next() < 0.5);

/** What `t` broadcast to a larger rank has at an index. */
const broadcastAt = (t: Tensor, index: Index): number => {
  const own = index.slice(index.length - t.shape.length);
  return read(t, own.map((x, i) => (t.shape[i] === 1 ? 0 : x)));
};
/** A shape that broadcasts into `shape`: axes left away in front, or of size 1. */
const narrower = (r: Random, shape: Index): number[] =>
  shape.slice(r.int(0, shape.length)).map((d) => (r.next() < 0.3 ? 1 : d));

const reduction = (operator: string, f: (values: number[]) => number, least: number) =>
  (r: Random, rank: number): Case => {
    const x = draw(r, shapeOfRank(r, rank, least));
    const axes = someAxes(r, rank);
    const keep = r.next() < 0.5;
    const all = axes.length === 0 ? x.shape.map((_, i) => i) : axes;
    const kept = x.shape.map((d, i) => (all.includes(i) ? 1 : d));
    return {
      operator, operands: [x, ints(axes.map((a) => named(r, a, rank)))],
      attributes: { keepdims: keep ? 1 : 0 }, shape: keep ? kept : without(x.shape, all),
      at(index) {
        const outer = [...index];
        const full = keep ? index : x.shape.map((_, i) =>
          (all.includes(i) ? 0 : outer.shift() as number));
        return f([...indices(all.map((a) => x.shape[a] as number))].map((inner) =>
          read(x, full.map((v, i) => (all.includes(i) ? inner[all.indexOf(i)] as number : v)))));
      },
    };
  };

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

const operators: Record<string, { least: number; make(r: Random, rank: number): Case }> = {
  Add: { least: 0, make(r, rank) {
    const shape = shapeOfRank(r, rank);
    const [a, b] = [draw(r, narrower(r, shape)), draw(r, shape)];
    const given = r.next() < 0.5 ? [a, b] : [b, a];
    return { operator: "Add", operands: given, shape,
      at: (i) => broadcastAt(a, i) + broadcastAt(b, i) };
  } },
  Where: { least: 0, make(r, rank) {
    const shape = shapeOfRank(r, rank);
    const inner = narrower(r, shape);
    const condition = tensor("bool", inner, Array.from({ length: sizeOf(inner) }, () =>
      r.int(0, 1)));
    const [a, b] = [draw(r, shape), draw(r, narrower(r, shape))];
    return { operator: "Where", operands: [condition, a, b], shape,
      at: (i) => broadcastAt(broadcastAt(condition, i) ? a : b, i) };
  } },
  Expand: { least: 0, make(r, rank) {
    const shape = shapeOfRank(r, rank);
    const x = draw(r, narrower(r, shape));
    return { operator: "Expand", operands: [x, ints(shape)], shape, at: (i) => broadcastAt(x, i) };
  } },
  Transpose: { least: 0, make(r, rank) {
    const x = draw(r, shapeOfRank(r, rank));
    const keys = x.shape.map(() => r.next());
    const perm = x.shape.map((_, i) => i).sort((a, b) => (keys[a] as number) - (keys[b] as number));
    return { operator: "Transpose", operands: [x], attributes: { perm },
      shape: perm.map((p) => x.shape[p] as number),
      at: (i) => read(x, x.shape.map((_, axis) => i[perm.indexOf(axis)] as number)) };
  } },
  Slice: { least: 1, make(r, rank) {
    const x = draw(r, shapeOfRank(r, rank));
    const axes = someAxes(r, rank);
    const picked = axes.map((axis) => {
      const size = x.shape[axis] as number;
      const step = r.pick([1, 1, 2, 3, -1, -2]);
      return { start: r.int(-size - 2, size + 2), end: r.int(-size - 2, size + 2), step };
    });
    // The definition: walk from start while short of end, both counted from the end if negative.
    const walks = picked.map(({ start, end, step }, n) => {
      const size = x.shape[axes[n] as number] as number;
      const within = (v: number): number => Math.min(
        Math.max(v < 0 ? v + size : v, step < 0 ? -1 : 0), step < 0 ? size - 1 : size);
      const walk: number[] = [];
      for (let at = within(start); step < 0 ? at > within(end) : at < within(end); at += step) {
        walk.push(at);
      }
      return walk;
    });
    return { operator: "Slice", shape: x.shape.map((d, i) =>
      (axes.includes(i) ? (walks[axes.indexOf(i)] as number[]).length : d)),
    operands: [x, ints(picked.map((p) => p.start)), ints(picked.map((p) => p.end)),
      ints(axes.map((a) => named(r, a, rank))), ints(picked.map((p) => p.step))],
    at: (index) => read(x, index.map((v, i) =>
      (axes.includes(i) ? (walks[axes.indexOf(i)] as number[])[v] as number : v))) };
  } },
  Concat: { least: 1, make(r, rank) {
    const first = draw(r, shapeOfRank(r, rank));
    const axis = r.int(0, rank - 1);
    const parts = [first, ...[0, 1].map(() => draw(r, put(first.shape, axis, r.int(0, 3))))];
    const size = sum(parts.map((p) => p.shape[axis] as number));
    return { operator: "Concat", operands: parts, attributes: { axis: named(r, axis, rank) },
      shape: put(first.shape, axis, size),
      at(index) {
        let place = index[axis] as number;
        for (const p of parts) {
          const length = p.shape[axis] as number;
          if (place < length) return read(p, put(index, axis, place));
          place -= length;
        }
        return NaN;
      } };
  } },
  Gather: { least: 1, make(r, rank) {
    const axis = r.int(0, rank - 1);
    const x = draw(r, put(shapeOfRank(r, rank), axis, r.int(1, 4)));
    const size = x.shape[axis] as number;
    const inner = shapeOfRank(r, r.int(0, Math.max(most - rank, 1)));
    const chosen = tensor("int64", inner, Array.from({ length: sizeOf(inner) }, () =>
      r.int(-size, size - 1)));
    return { operator: "Gather", operands: [x, chosen],
      attributes: { axis: named(r, axis, rank) },
      shape: [...x.shape.slice(0, axis), ...inner, ...x.shape.slice(axis + 1)],
      at(index) {
        const at = read(chosen, index.slice(axis, axis + inner.length));
        return read(x, [...index.slice(0, axis), at < 0 ? at + size : at,
          ...index.slice(axis + inner.length)]);
      } };
  } },
  Pad: { least: 1, make(r, rank) {
    const x = draw(r, shapeOfRank(r, rank));
    const low = x.shape.map((d) => r.int(-Math.min(d, 1), 2));
    const high = x.shape.map((d, i) => r.int(-Math.min(d + Math.min(low[i] as number, 0), 1), 2));
    return { operator: "Pad", operands: [x, ints([...low, ...high]), tensor("float32", [], [5])],
      shape: x.shape.map((d, i) => d + (low[i] as number) + (high[i] as number)),
      at(index) {
        const from = index.map((v, i) => v - (low[i] as number));
        return from.every((v, i) => v >= 0 && v < (x.shape[i] as number)) ? read(x, from) : 5;
      } };
  } },
  Tile: { least: 0, make(r, rank) {
    const x = draw(r, shapeOfRank(r, rank));
    const repeats = x.shape.map(() => r.pick([1, 1, 1, 2, 0, 3]));
    return { operator: "Tile", operands: [x, ints(repeats)],
      shape: x.shape.map((d, i) => d * (repeats[i] as number)),
      at: (index) => read(x, index.map((v, i) => v % (x.shape[i] as number))) };
  } },
  Unsqueeze: { least: 0, make(r, rank) {
    const x = draw(r, shapeOfRank(r, Math.max(rank - 1, 0)));
    const axis = r.int(0, x.shape.length);
    return { operator: "Unsqueeze",
      operands: [x, ints([named(r, axis, x.shape.length + 1)])],
      shape: [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)],
      at: (index) => read(x, without(index, [axis])) };
  } },
  CumSum: { least: 1, make(r, rank) {
    const x = draw(r, shapeOfRank(r, rank));
    const axis = r.int(0, rank - 1);
    const [reverse, exclusive] = [r.int(0, 1), r.int(0, 1)];
    return { operator: "CumSum", attributes: { reverse, exclusive }, shape: x.shape,
      operands: [x, tensor("int64", [], [named(r, axis, rank)])],
      at(index) {
        const [here, size] = [index[axis] as number, x.shape[axis] as number];
        const reached = Array.from({ length: size }, (_, i) => i).filter((i) =>
          (reverse ? i > here : i < here) || (i === here && !exclusive));
        return sum(reached.map((i) => read(x, put(index, axis, i))));
      } };
  } },
  ArgMax: { least: 1, make(r, rank) {
    const axis = r.int(0, rank - 1);
    const x = draw(r, put(shapeOfRank(r, rank), axis, r.int(1, 4)));
    return { operator: "ArgMax", operands: [x],
      attributes: { axis: named(r, axis, rank), keepdims: 1 }, shape: put(x.shape, axis, 1),
      at(index) {
        const row = Array.from({ length: x.shape[axis] as number }, (_, i) =>
          read(x, put(index, axis, i)));
        return row.indexOf(Math.max(...row));
      } };
  } },
  ReduceSum: { least: 0, make: reduction("ReduceSum", sum, 0) },
  ReduceMax: { least: 0, make: reduction("ReduceMax", (v) => Math.max(...v), 1) },
  MatMul: { least: 2, make(r, rank) {
    const batch = shapeOfRank(r, rank - 2);
    const [rows, depth, columns] = [r.int(0, 3), r.int(0, 3), r.int(0, 3)];
    const a = draw(r, [...narrower(r, batch), rows, depth]);
    const b = draw(r, [...batch, depth, columns]);
    return { operator: "MatMul", operands: [a, b], shape: [...batch, rows, columns],
      at(index) {
        const [outer, i, j] = [index.slice(0, -2), index.at(-2) as number, index.at(-1) as number];
        const element = (t: Tensor, y: number, x: number): number => {
          const own = outer.slice(outer.length - (t.shape.length - 2));
          return read(t, [...own.map((v, n) => (t.shape[n] === 1 ? 0 : v)), y, x]);
        };
        return sum(Array.from({ length: depth }, (_, k) => element(a, i, k) * element(b, k, j)));
      } };
  } },
};

const ranks = Array.from({ length: most + 1 }, (_, rank) => rank);
/** Random tensors per operator and rank. */
const rounds = 6;

describe.each(Object.keys(operators))("%s", (name) => {
  const devices: Device[] = [new InterpreterDevice()];
  beforeAll(async () => {
    devices.push(await openWasmDevice());
  });
  afterAll(() => devices.forEach((device) => device.destroy()));

  it.each(ranks.filter((n) => n >= (operators[name]?.least ?? 0)))("rank %i", async (rank) => {
    const r = new Random(1000 * rank + name.length);
    for (let round = 0; round < rounds; round++) {
      const { operator, operands, attributes, shape, at } =
        (operators[name] as (typeof operators)[string]).make(r, rank);
      const inputs = new Map(operands.map((t, i) => [`x${i}`, t]));
      const made = model({
        nodes: [node(operator, [...inputs.keys()], ["y"], attributes ?? {})], outputs: ["y"],
        inputs: Object.fromEntries([...inputs].map(([n, t]) => [n, tensorType(t.dtype, t.shape)])),
      });
      const { graph } = specialise(made, inputs);
      const expected = [...indices(shape)].map(at);
      const where = `${JSON.stringify(operands.map((t) => t.shape))} ${JSON.stringify(attributes)}`;
      const check = (t: Tensor | undefined, how: string): void => {
        expect(t?.shape, `${where} ${how}`).toEqual(shape);
        expect(elements(t as Tensor).map((v) => v + 0), `${where} ${how}`).toEqual(expected);
      };
      check(evaluateGraph(graph, inputs).get("y"), "evaluated");
      const program = buildProgram(optimise(graph));
      for (const device of devices) {
        const session = await Session.create(device, program);
        check((await session.run(inputs)).get("y"), device.info.kind);
        session.release();
      }
    }
  });
});

it("size 0, size 1 and every rank are among the shapes", () => {
  const r = new Random(1);
  const shapes = ranks.flatMap((rank) => Array.from({ length: 40 }, () => shapeOfRank(r, rank)));
  for (const d of [0, 1, 2]) expect(shapes.filter((s) => s.includes(d)).length).toBeGreaterThan(20);
});
