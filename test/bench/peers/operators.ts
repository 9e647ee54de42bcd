/**
 * Operators with their attribute values, on random operands, by the graph evaluator and by ONNX
 * Runtime: an oracle for what the conformance tests leave out. One row of a table is one call. Rows
 * where ONNX Runtime departs from the specification are not here: Resize by align_corners with
 * scales that do not give whole sizes, SAME padding with dilations, and ConvTranspose with SAME
 * padding where the kernel is smaller than the stride.
 */
import onnxProto from "onnx-proto";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { DType } from "../../../compiler/graph/dtype.ts";
import { sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { elementTypeCode } from "../../../compiler/onnx/elementTypes.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { specialise } from "../../../compiler/onnx/specialise.ts";
import { randomTensor, relativeError } from "./numbers.ts";
import { openTheirs } from "./theirs.ts";

const { onnx } = onnxProto;

type Value = number | string | readonly number[] | readonly string[] | { readonly float: number }
  | { readonly floats: readonly number[] };
type Attributes = Readonly<Record<string, Value>>;

interface Call {
  readonly opset?: number;
  readonly outputs?: number;
  readonly domain?: string;
  /** Over the largest magnitude of the output. */
  readonly tolerance?: number;
}
type Row = readonly [string, readonly (Tensor | undefined)[], Attributes?, Call?];

let seed = 1;
const real = (...shape: number[]): Tensor => randomTensor(shape, seed++);
const positive = (...shape: number[]): Tensor => {
  const t = real(...shape);
  return { ...t, data: Float32Array.from(t.data, (x) => Math.abs(x) + 0.1) };
};
/** Whole numbers of [from, to). */
const whole = (dtype: DType, from: number, to: number, ...shape: number[]): Tensor =>
  tensor(dtype, shape, Array.from(real(...shape).data, (x) =>
    Math.floor(from + ((x + 1) / 2) * (to - from))));
const list = (...values: number[]): Tensor => tensor("int64", [values.length], values);
const reals = (...values: number[]): Tensor => tensor("float32", [values.length], values);
const one = (value: number, dtype: DType = "float32"): Tensor => tensor(dtype, [], [value]);
const float = (value: number): Value => ({ float: value });

const each = <T>(values: readonly T[], rows: (value: T) => readonly Row[]): Row[] =>
  values.flatMap(rows);

const resizing = (): Row[] => each(["nearest", "linear", "cubic"], (mode) => [
  ...each(["half_pixel", "pytorch_half_pixel", "asymmetric"], (coordinates): Row[] =>
    each([[1, 1, 1.7, 2.3], [1, 1, 0.6, 0.8], [1, 1, 2, 0.5]], (scales): Row[] => [
      ["Resize", [real(1, 2, 5, 6), undefined, reals(...scales)],
        { mode, coordinate_transformation_mode: coordinates }, { opset: 19 }],
    ])),
  ...each(["stretch", "not_larger", "not_smaller"], (policy): Row[] => [
    ["Resize", [real(1, 2, 5, 6), undefined, undefined, list(9, 4)],
      { mode, axes: [3, 2], keep_aspect_ratio_policy: policy }, { opset: 19 }],
  ]),
]);

const pooling = (): Row[] => each([0, 1], (ceil) =>
  each(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"], (auto) =>
    each([[3, 2, 2, 2], [2, 3, 1, 3], [3, 3, 1, 1]], ([kh, kw, sh, sw]): Row[] => {
      const attributes = {
        kernel_shape: [kh as number, kw as number], strides: [sh as number, sw as number],
        ceil_mode: ceil, auto_pad: auto, ...(auto === "NOTSET" ? { pads: [1, 0, 1, 1] } : {}),
      };
      return [
        ["MaxPool", [real(1, 2, 7, 8)], attributes, { opset: 12, outputs: 2 }],
        ["AveragePool", [real(1, 2, 7, 8)], attributes, { opset: 19 }],
        ["AveragePool", [real(1, 2, 7, 8)], { ...attributes, count_include_pad: 1 },
          { opset: 19 }],
        ["LpPool", [real(1, 2, 7, 8)], { ...attributes, p: 3 }, { opset: 18, tolerance: 1e-4 }],
      ];
    })));

const convolutions = (): Row[] => each(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"], (auto) =>
  each([[1, 1], [2, 2]], (strides): Row[] => [
    ["Conv", [real(2, 4, 9, 8), real(6, 2, 3, 2), real(6)], { auto_pad: auto, strides, group: 2 }],
    ["ConvTranspose", [real(2, 4, 4, 5), real(4, 3, 3, 2), real(6)],
      { auto_pad: auto, strides, group: 2 }],
  ]));

const recurrent = (): Row[] => each(["forward", "reverse", "bidirectional"], (direction) => {
  const d = direction === "bidirectional" ? 2 : 1;
  const [x, lengths] = [real(4, 3, 2), tensor("int32", [3], [4, 2, 1])];
  const at = (gates: number): Tensor[] => [real(d, gates * 5, 2), real(d, gates * 5, 5)];
  const own = { direction, hidden_size: 5 };
  const names = (...list: string[]): string[] => Array.from({ length: d }, () => list).flat();
  return each([undefined, lengths], (seen): Row[] => [
    ["LSTM", [x, ...at(4), real(d, 40), seen, real(d, 3, 5), real(d, 3, 5), real(d, 15)], own,
      { outputs: 3 }],
    ["LSTM", [x, ...at(4), undefined, seen], { ...own, clip: float(0.5), input_forget: 1 },
      { outputs: 3 }],
    ["LSTM", [x, ...at(4), undefined, seen],
      { ...own, activations: names("HardSigmoid", "Softsign", "Relu") }, { outputs: 3 }],
    ...each([0, 1], (after): Row[] => [
      ["GRU", [x, ...at(3), real(d, 30), seen, real(d, 3, 5)],
        { ...own, linear_before_reset: after }, { outputs: 2 }],
    ]),
    ...each(["Tanh", "Elu", "Softplus", "LeakyRelu"], (name): Row[] => [
      ["RNN", [x, ...at(1), real(d, 10), seen], { ...own, activations: names(name) },
        { outputs: 2 }],
    ]),
  ]);
});

const indexing = (): Row[] => [
  ...each(["none", "add", "mul", "max", "min"], (reduction): Row[] => [
    ["ScatterElements", [real(3, 4, 2), tensor("int64", [2, 1, 2], [0, 1, 2, 0]), real(2, 1, 2)],
      { axis: 0, reduction }, { opset: 18 }],
    ["ScatterND", [real(4, 4), tensor("int64", [3, 2], [0, 1, -1, 2, 1, -4]), real(3)],
      { reduction }, { opset: 18 }],
  ]),
  ...each([0, 1], (largest): Row[] => [
    ["TopK", [whole("int32", 0, 4, 4, 5), list(3)], { largest, axis: 0 }, { outputs: 2 }],
  ]),
  ...each([0, 1], (sorted): Row[] => [
    ["Unique", [whole("float32", 0, 4, 12)], { sorted }, { outputs: 4 }],
    ["Unique", [whole("float32", 0, 2, 4, 3)], { sorted, axis: 1 }, { outputs: 4 }],
  ]),
  ["NonZero", [whole("float32", 0, 2, 3, 4)]],
  ["Compress", [real(3, 4), whole("bool", 0, 2, 7)]],
  ...each(["constant", "reflect", "edge", "wrap"], (mode): Row[] => [
    ["Pad", [real(2, 3, 4), list(1, 2, 0, 1), undefined, list(1, 2)], { mode }, { opset: 19 }],
    ["Pad", [real(3, 4), list(-1, 1, 0, -2)], { mode }, { opset: 19 }],
  ]),
  ["CenterCropPad", [real(5, 6), list(8, 3)], { axes: [-1, 0] }, { opset: 18 }],
  ["Col2Im", [real(2, 18, 4), list(5, 5), list(3, 3)], { strides: [2, 2] }, { opset: 18 }],
  ["Slice", [real(4, 6), list(-1), list(-99), list(1), list(-2)]],
];

const signals = (): Row[] => [
  ...each([0, 1], (inverse): Row[] => [
    ["DFT", [real(2, 6, 3, 2), one(5, "int64"), one(-3, "int64")], { inverse },
      { opset: 20, tolerance: 1e-4 }],
  ]),
  ...each([0, 1], (onesided): Row[] => [
    ["STFT", [real(2, 32, 1), one(5, "int64"), positive(8)], { onesided },
      { opset: 17, tolerance: 1e-4 }],
  ]),
  ...each(["HannWindow", "HammingWindow", "BlackmanWindow"], (window): Row[] => [
    [window, [one(10, "int64")], { periodic: 0 }, { opset: 17 }],
  ]),
  ["MelWeightMatrix", [one(20, "int64"), one(256, "int64"), one(16000, "int64"), one(20),
    one(7600)], {}, { opset: 17 }],
];

const sampling = (): Row[] => [
  ...each(["linear", "nearest", "cubic"], (mode) =>
    each(["zeros", "border", "reflection"], (padding_mode): Row[] => [
      ["GridSample", [real(2, 2, 5, 6), real(2, 3, 4, 2)], { mode, padding_mode },
        { opset: 20, tolerance: 1e-4 }],
    ])),
  ...each(["avg", "max"], (mode): Row[] => [
    ["RoiAlign", [real(2, 2, 9, 10), tensor("float32", [2, 4], [0, 1, 6, 7, 2, 0, 9, 5]),
      list(1, 0)], { mode, output_height: 3, output_width: 2, spatial_scale: float(0.6) },
    { opset: 16, tolerance: 1e-4 }],
  ]),
];

const losses = (): Row[] => each(["none", "mean", "sum"], (reduction) =>
  each([undefined, positive(4)], (weights): Row[] => [
    ["SoftmaxCrossEntropyLoss", [real(2, 4, 3), whole("int64", 0, 4, 2, 3), weights],
      { reduction, ignore_index: 1 }, { opset: 13, outputs: 2 }],
    ["NegativeLogLikelihoodLoss", [real(3, 4), whole("int64", 0, 4, 3), weights], { reduction },
      { opset: 13 }],
  ]));

const contrib = { domain: "com.microsoft", tolerance: 1e-4 };
const bytes = (...shape: number[]): Tensor => whole("uint8", 0, 256, ...shape);

const fused = (): Row[] => [
  ["FusedConv", [real(1, 2, 5, 5), real(3, 2, 3, 3), real(3), real(1, 3, 3, 3)],
    { activation: "Relu" }, contrib],
  ["FusedMatMul", [real(2, 4, 3), real(5, 4)], { transA: 1, transB: 1, alpha: float(0.7) },
    contrib],
  ["SkipLayerNormalization", [real(2, 3, 4), real(2, 3, 4), real(4), real(4), real(4)],
    { epsilon: float(0.001) }, { ...contrib, outputs: 4 }],
  ...each([2, 4, 8], (bits): Row[] => [
    ["MatMulNBits", [real(2, 3, 40), bytes(5, 2, 4 * bits), positive(10), bytes(5 *
      Math.ceil(bits / 4))], { K: 40, N: 5, bits, block_size: 32 }, contrib],
  ]),
  ["Attention", [real(2, 3, 8), real(8, 24), real(24)], { num_heads: 2, unidirectional: 1 },
    contrib],
  ["MultiHeadAttention", [real(2, 3, 8), real(2, 3, 8), real(2, 3, 12), real(28),
    whole("int32", 0, 2, 2, 3), real(1, 2, 3, 3)], { num_heads: 2 }, contrib],
  ["GroupQueryAttention", [real(1, 3, 64), real(1, 3, 32), real(1, 3, 32), real(1, 2, 5, 16),
    real(1, 2, 5, 16), tensor("int32", [1], [7]), one(8, "int32"), real(20, 8), real(20, 8)],
  { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }, { ...contrib, outputs: 3 }],
];

/** All rows, in a fixed order, so that operands stay the same. */
export const operatorRows = (): readonly Row[] => [
  ...resizing(), ...pooling(), ...convolutions(), ...recurrent(), ...indexing(), ...signals(),
  ...sampling(), ...losses(), ...fused(),
];

function attributeProto(name: string, value: Value) {
  const { STRING, INT, STRINGS, INTS, FLOAT, FLOATS } = onnx.AttributeProto.AttributeType;
  const text = (s: string): Uint8Array => new TextEncoder().encode(s);
  if (typeof value === "string") return { name, type: STRING, s: text(value) };
  if (typeof value === "number") return { name, type: INT, i: value };
  if ("float" in value) return { name, type: FLOAT, f: value.float };
  if ("floats" in value) return { name, type: FLOATS, floats: [...value.floats] };
  return typeof value[0] === "string"
    ? { name, type: STRINGS, strings: (value as readonly string[]).map(text) }
    : { name, type: INTS, ints: [...(value as readonly number[])] };
}

/** A model of one node whose operands are its inputs. */
function modelOf([opType, operands, attributes = {}, call = {}]: Row): Uint8Array {
  return onnx.ModelProto.encode({
    irVersion: 10,
    opsetImport: [{ domain: "", version: call.opset ?? 21 },
      { domain: "com.microsoft", version: 1 }],
    graph: {
      name: opType,
      node: [{
        opType, domain: call.domain ?? "", input: operands.map((t, i) => (t ? `x${i}` : "")),
        output: Array.from({ length: call.outputs ?? 1 }, (_, i) => `y${i}`),
        attribute: Object.entries(attributes).map(([name, v]) => attributeProto(name, v)),
      }],
      input: operands.flatMap((t, i) => (t ? [{
        name: `x${i}`, type: { tensorType: {
          elemType: elementTypeCode(t.dtype), shape: { dim: t.shape.map((d) => ({ dimValue: d })) },
        } },
      }] : [])),
      output: Array.from({ length: call.outputs ?? 1 }, (_, i) => ({ name: `y${i}` })),
    },
  }).finish();
}

/** What is different; undefined when nothing is. */
export async function compareOperator(row: Row): Promise<string | undefined> {
  const [operator, operands, attributes, call = {}] = row;
  const file = modelOf(row);
  const inputs = new Map(operands.flatMap((t, i): [string, Tensor][] => (t ? [[`x${i}`, t]] : [])));
  const session = await openTheirs(file);
  const expected = await session.run(inputs);
  await session.release();
  const actual = evaluateGraph(specialise(decodeModel(file, operator), inputs).graph, inputs);
  for (const [name, t] of expected) {
    if (sizeOf(t.shape) === 0 && String(actual.get(name)?.shape) === String(t.shape)) continue;
    const error = relativeError(actual.get(name) as Tensor, t);
    if (error <= (call.tolerance ?? 2e-5)) continue;
    return `${operator} ${JSON.stringify(attributes ?? {})}: ${name} is apart by ${error}`;
  }
  return undefined;
}
