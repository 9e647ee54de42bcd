/**
 * Operators on numbers that a person can check: forms and attributes that the conformance tests
 * leave out, old opsets, and ends of ranges. One table row is one call.
 */
import { describe, expect, test } from "vitest";
import { elements, floats, ints, number, run, typed, values } from "../../support/onnxModel.ts";

const ramp = (...shape: number[]): ReturnType<typeof floats> =>
  floats(shape, ...Array.from({ length: shape.reduce((p, d) => p * d, 1) }, (_, i) => i));

describe("elementwise", () => {
  test.each([
    ["Celu", floats([3], -1, 0, 2), { alpha: { float: 2 } }, [2 * Math.expm1(-0.5), 0, 2]],
    ["Softplus", floats([3], -100, 0, 100), {}, [0, Math.LN2, 100]],
    ["Elu", floats([2], -1e-4, 3), {}, [Math.expm1(-1e-4), 3]],
    ["HardSigmoid", floats([3], -9, 0.5, 9), { alpha: 0.5, beta: 0.25 }, [0, 0.5, 1]],
    ["ThresholdedRelu", floats([3], 1.5, 2, 2.5), { alpha: { float: 2 } }, [0, 0, 2.5]],
    ["Round", floats([4], 0.5, 1.5, 2.5, -0.5), {}, [0, 2, 2, -0]],
  ])("%s", (operator, x, attributes, expected) => {
    values(operator, [x], attributes).forEach((y, i) =>
      expect(y).toBeCloseTo(expected[i] as number, 5));
  });

  test("Mod follows the divisor, fmod the dividend", () => {
    const [x, y] = [typed("int32", [4], -7, 7, -7, 6), typed("int32", [4], 3, -3, -3, 3)];
    expect(values("Mod", [x, y])).toEqual([2, -2, -1, 0]);
    expect(values("Mod", [x, y], { fmod: 1 })).toEqual([-1, 1, -1, 0]);
  });

  test("a comparison with NaN is false, both ways", () => {
    const [x, y] = [floats([2], NaN, 1), floats([2], 1, NaN)];
    for (const operator of ["Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"]) {
      expect(values(operator, [x, y])).toEqual([0, 0]);
    }
  });

  test("IsInf looks only where it is told to", () => {
    const x = floats([3], -Infinity, 1, Infinity);
    expect(values("IsInf", [x])).toEqual([1, 0, 1]);
    expect(values("IsInf", [x], { detect_negative: 0 })).toEqual([0, 0, 1]);
  });

  test("Cast to bfloat16 rounds to nearest, ties to even", () => {
    // 1 + 2^-8 and 1 + 3*2^-8 lie halfway between two bfloat16: to 1 and to 1 + 2^-6.
    const x = floats([3], 1 + 2 ** -8, 1 + 3 * 2 ** -8, NaN);
    expect(values("Cast", [x], { to: 16 })).toEqual([1, 1.01563, NaN]);
  });

  test("opset 6 broadcasts along an axis, opset 12 sees softmax as a matrix", () => {
    const x = ramp(2, 2, 2);
    expect(values("Add", [x, floats([2], 10, 20)], { broadcast: 1, axis: 1 }, { opset: 6 }))
      .toEqual([10, 11, 22, 23, 14, 15, 26, 27]);
    const even = floats([1, 2, 2], 0, 0, 0, 0);
    expect(values("Softmax", [even], { axis: 1 }, { opset: 12 })).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(values("Softmax", [even], { axis: 1 }, { opset: 13 })).toEqual([0.5, 0.5, 0.5, 0.5]);
  });
});

test("a pooling window that hangs over by less than a stride is cut, one by more is empty", () => {
  const x = floats([1, 1, 1, 3], 3, 1, 2);
  const pool = { kernel_shape: [2, 2], strides: [2, 1] };
  expect(run("MaxPool", [x], pool).map((t) => [t.shape, elements(t)]))
    .toEqual([[[1, 1, 1, 2], [3, 2]]]);
  expect(values("AveragePool", [x], pool)).toEqual([2, 1.5]);
  expect(run("MaxPool", [x], { ...pool, strides: [1, 1] })[0]?.shape).toEqual([1, 1, 0, 2]);
});

test.each([1, 2])("integer convolutions are exact beyond one float sum, groups %i", (group) => {
  const [channels, width] = [600, 3];
  const x = typed("uint8", [1, channels, width],
    ...Array.from({ length: channels * width }, (_, i) => (i % 7 === 0 ? 251 : 255)));
  const w = typed("uint8", [2, channels / group, 2],
    ...Array.from({ length: (2 * channels * 2) / group }, (_, i) => 255 - (i % 5)));
  const at = (t: typeof x, i: number): number => t.data[i] as number;
  const expected = [0, 1].flatMap((o) => [0, 1].map((p) => {
    let sum = 0;
    for (let c = 0; c < channels / group; c++) {
      const from = group === 2 ? c + (o * channels) / 2 : c;
      for (let k = 0; k < 2; k++) {
        sum += (at(x, from * width + p + k) - 1) * at(w, (o * (channels / group) + c) * 2 + k);
      }
    }
    return sum;
  }));
  expect(Math.max(...expected)).toBeGreaterThan(2 ** 24);
  const [y] = run("ConvInteger", [x, w, number(1, "uint8")], { group });
  expect([...y?.data ?? []]).toEqual(expected);
});

test("a transposed convolution short of its output shape is filled up at the end", () => {
  const [x, w] = [floats([1, 1, 2], 1, 2), floats([1, 1, 2], 1, 10)];
  for (const auto_pad of ["NOTSET", "SAME_UPPER", "SAME_LOWER"]) {
    expect(values("ConvTranspose", [x, w], { strides: [2], output_shape: [5], auto_pad }))
      .toEqual([1, 10, 2, 20, 0]);
  }
});

test("RoiAlign counts its samples in float32", () => {
  // 5 * 0.6 is 3 in float32, and more in float64: one sample in each of three bins, at 0.5, 1.5 ..
  // Two samples would lie nearer to a neighbour, and the larger share counts.
  const x = floats([1, 1, 1, 6], 0, 1, 4, 9, 16, 25);
  const roi = floats([1, 4], 0, 0, 5, 0);
  const attributes = {
    output_height: 1, output_width: 3, mode: "max", spatial_scale: { float: Math.fround(0.6) },
    coordinate_transformation_mode: "output_half_pixel",
  };
  expect(values("RoiAlign", [x, roi, ints(0)], attributes, { opset: 16 })).toEqual([0.5, 2, 4.5]);
});

describe("movement", () => {
  test.each([
    ["backwards to the first element", [4], [-(2 ** 40)], [-2], [4, 2, 0]],
    ["beyond the end", [3], [2 ** 40], [1], [3, 4]],
    ["nothing", [3], [1], [1], []],
    ["from the end", [-2], [5], [1], [3, 4]],
  ])("Slice: %s", (_, start, end, step, expected) => {
    const operands = [ramp(5), ints(...start), ints(...end), ints(0), ints(...step)];
    expect(values("Slice", operands)).toEqual(expected);
  });

  test.each([
    ["reflect", [2, 1, 0, 1, 2, 1, 0]], ["edge", [0, 0, 0, 1, 2, 2, 2]],
    ["wrap", [1, 2, 0, 1, 2, 0, 1]],
  ])("Pad: %s", (mode, expected) => {
    expect(values("Pad", [ramp(3), ints(2, 2)], { mode })).toEqual(expected);
  });

  test("Pad crops where pads are negative, and takes a fill that is data", () => {
    expect(values("Pad", [ramp(4), ints(-1, 1), number(7)])).toEqual([1, 2, 3, 7]);
  });

  test("Split leaves the last piece short", () => {
    const pieces = run("Split", [ramp(5)], { num_outputs: 3 }, { outputs: 3 });
    expect(pieces.map(elements)).toEqual([[0, 1], [2, 3], [4]]);
  });

  test("DepthToSpace reads depth first or columns first", () => {
    const x = ramp(1, 8, 1, 1);
    expect(values("DepthToSpace", [x], { blocksize: 2 })).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
    expect(values("DepthToSpace", [x], { blocksize: 2, mode: "CRD" }))
      .toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("indexing", () => {
  test("negative indices count from the end", () => {
    expect(values("Gather", [ramp(4), ints(-1, 0, -4)])).toEqual([3, 0, 0]);
    expect(values("OneHot", [ints(-1, 1), number(3, "int64"), floats([2], 0, 5)]))
      .toEqual([0, 0, 5, 0, 5, 0]);
  });

  test("ScatterElements combines repeated targets as it is told", () => {
    const operands = [floats([3], 1, 2, 3), ints(1, 1, -1), floats([3], 10, 20, 30)];
    expect(values("ScatterElements", operands, { reduction: "add" })).toEqual([1, 32, 33]);
    expect(values("ScatterElements", operands, { reduction: "max" })).toEqual([1, 20, 30]);
  });

  test("GatherND keeps batches apart", () => {
    const indices = typed("int64", [2, 1], 1, 0);
    expect(values("GatherND", [ramp(2, 3), indices], { batch_dims: 1 })).toEqual([1, 3]);
  });

  test("Unique keeps first positions, inverse and counts, in either order", () => {
    const x = ints(3, 1, 3, 2);
    const all = (sorted: number): number[][] =>
      run("Unique", [x], { sorted }, { outputs: 4 }).map(elements);
    expect(all(1)).toEqual([[1, 2, 3], [1, 3, 0], [2, 0, 2, 1], [1, 1, 2]]);
    expect(all(0)).toEqual([[3, 1, 2], [0, 1, 3], [0, 1, 0, 2], [2, 1, 1]]);
  });
});

describe("reductions", () => {
  test("LogSumExp of infinities and of nothing", () => {
    const x = floats([2, 2], -Infinity, -Infinity, Infinity, 1);
    expect(values("ReduceLogSumExp", [x, ints(1)], { keepdims: 0 })).toEqual([-Infinity, Infinity]);
    expect(values("ReduceLogSumExp", [floats([0, 1]), ints(0)])).toEqual([-Infinity]);
  });

  test("no axes mean all, or none if so asked", () => {
    expect(values("ReduceSum", [ramp(2, 2)], { keepdims: 0 })).toEqual([6]);
    expect(values("ReduceSum", [ramp(2, 2)], { noop_with_empty_axes: 1 })).toEqual([0, 1, 2, 3]);
  });

  test("TopK prefers the earlier of equals", () => {
    const [best, at] = run("TopK", [floats([4], 2, 5, 5, 1), ints(2)], {}, { outputs: 2 });
    expect([best, at].map((t) => elements(t as typeof best & object))).toEqual([[5, 5], [1, 2]]);
  });

  test("running sums leave themselves out and go backwards", () => {
    expect(values("CumSum", [ramp(4), number(0, "int64")], { exclusive: 1, reverse: 1 }))
      .toEqual([6, 5, 3, 0]);
  });
});

describe("windows", () => {
  test("an average counts pads if asked, what ceil mode adds never", () => {
    const x = floats([1, 1, 3], 3, 6, 9);
    const attributes = { kernel_shape: [2], strides: [2], pads: [1, 0] };
    expect(values("AveragePool", [x], attributes)).toEqual([3, 7.5]);
    expect(values("AveragePool", [x], { ...attributes, count_include_pad: 1 })).toEqual([1.5, 7.5]);
    expect(values("AveragePool", [x], {
      kernel_shape: [2], strides: [2], ceil_mode: 1, count_include_pad: 1,
    })).toEqual([4.5, 9]);
  });

  test("a transposed convolution is the gradient of a convolution", () => {
    const [x, w] = [floats([1, 1, 2], 1, 2), floats([1, 1, 3], 1, 10, 100)];
    expect(values("ConvTranspose", [x, w], { strides: [2] })).toEqual([1, 10, 102, 20, 200]);
    expect(values("ConvTranspose", [x, w], { strides: [2], pads: [1, 1], output_padding: [1] }))
      .toEqual([10, 102, 20, 200]);
  });

  test("pads of an integer convolution are the zero point", () => {
    const x = typed("uint8", [1, 1, 2], 5, 7);
    const w = typed("uint8", [1, 1, 3], 1, 1, 1);
    expect(values("ConvInteger", [x, w, number(5, "uint8")], { pads: [1, 1] })).toEqual([2, 2]);
  });
});

describe("products", () => {
  test.each([
    ["ii->i", [[2, 2]], [0, 3]], ["ij->", [[2, 2]], [6]], ["ij,kj->ik", [[1, 2], [1, 2]], [1]],
    ["i,j", [[2], [2]], [0, 0, 0, 1]], ["...i->...", [[2, 2]], [1, 5]],
  ])("Einsum %s", (equation, shapes, expected) => {
    expect(values("Einsum", shapes.map((shape) => ramp(...shape)), { equation })).toEqual(expected);
  });

  test("a determinant changes sign with its rows, and is 0 where it should be", () => {
    expect(values("Det", [floats([2, 2], 0, 1, 1, 0)])).toEqual([-1]);
    expect(values("Det", [floats([2, 2], 1, 2, 2, 4)])).toEqual([0]);
  });
});

describe("sequences", () => {
  test("a short sequence keeps its state and gives zeros", () => {
    // h' = x + h with a weight of 1 and the activation x -> x.
    const one = floats([1, 1, 1], 1);
    const x = floats([3, 2, 1], 1, 10, 2, 20, 3, 30);
    const lengths = typed("int32", [2], 3, 1);
    const [y, last] = run("RNN", [x, one, one, undefined, lengths], {
      hidden_size: 1, activations: ["Affine"],
    }, { outputs: 2 });
    expect([y, last].map((t) => elements(t as typeof y & object)))
      .toEqual([[1, 10, 3, 0, 6, 0], [6, 10]]);
  });

  test("an attention that sees nothing gives nothing", () => {
    const q = floats([1, 1, 1, 2], 1, 0);
    const kv = floats([1, 1, 2, 2], 1, 0, 0, 1);
    const blind = typed("bool", [1, 2], 0, 0);
    expect(values("Attention", [q, kv, kv, blind], {}, { opset: 23 })).toEqual([0, 0]);
    const first = typed("bool", [1, 2], 1, 0);
    expect(values("Attention", [q, kv, kv, first], {}, { opset: 23 })).toEqual([1, 0]);
  });
});

describe("random numbers", () => {
  const shape = { shape: [4000] };
  test("follow from the seed, lie where they should, and have the right moments", () => {
    const bounds = { low: { float: 2 }, high: { float: 4 } };
    const [a, b, again] = [1, 2, 1].map((seed) =>
      values("RandomUniform", [], { ...shape, ...bounds, seed: { float: seed } }));
    expect(a).not.toEqual(b);
    expect(again).toEqual(a);
    expect(Math.min(...a as number[])).toBeGreaterThan(2);
    expect(Math.max(...a as number[])).toBeLessThan(4);
    const z = values("RandomNormal", [], { ...shape, seed: { float: 3 } });
    const mean = z.reduce((s, v) => s + v, 0) / z.length;
    const variance = z.reduce((s, v) => s + (v - mean) ** 2, 0) / z.length;
    // Four standard errors of 4,000 draws.
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(4000));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / 4000));
  });
});
