/** Runs a model with ONNX Runtime's WASM build (onnxruntime-web), on one thread. */
import * as ort from "onnxruntime-web";
import type { DType } from "../../../compiler/graph/dtype.ts";
import { floatToHalf, halfToFloat } from "../../../compiler/graph/half.ts";
import { denseData, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

export interface Theirs {
  readonly loadMs: number;
  run(inputs: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>;
  release(): Promise<void>;
}

type OrtData = ort.Tensor["data"];

/** Our element types as theirs hold them, there and back. */
const codecs: Partial<Record<DType, {
  readonly to: (data: ArrayLike<number>) => OrtData;
  readonly from?: (data: ArrayLike<unknown>) => number[];
}>> = {
  float32: { to: (d) => Float32Array.from(d) },
  float64: { to: (d) => Float64Array.from(d) },
  float16: {
    to: (d) => Uint16Array.from(d, floatToHalf),
    from: (d) => Array.from(d as ArrayLike<number>, halfToFloat),
  },
  int8: { to: (d) => Int8Array.from(d) }, uint8: { to: (d) => Uint8Array.from(d) },
  int16: { to: (d) => Int16Array.from(d) }, uint16: { to: (d) => Uint16Array.from(d) },
  int32: { to: (d) => Int32Array.from(d) }, uint32: { to: (d) => Uint32Array.from(d) },
  int64: { to: (d) => BigInt64Array.from(Array.from(d, BigInt)) },
  uint64: { to: (d) => BigUint64Array.from(Array.from(d, BigInt)) },
  bool: { to: (d) => Uint8Array.from(d) },
};

/** @throws Error in ONNX Runtime's words when it cannot load the model */
export async function openTheirs(bytes: Uint8Array): Promise<Theirs> {
  const start = performance.now();
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ["wasm"], logSeverityLevel: 4,
  });
  return {
    loadMs: performance.now() - start,
    async run(inputs) {
      const feeds: Record<string, ort.Tensor> = {};
      for (const [name, t] of inputs) feeds[name] = toOrt(t);
      const results = await session.run(feeds);
      return new Map(Object.entries(results).map(([name, t]) => [name, fromOrt(t)]));
    },
    release: () => session.release(),
  };
}

function toOrt(t: Tensor): ort.Tensor {
  const codec = codecs[t.dtype];
  if (!codec) throw new Error(`no ${t.dtype} tensors`);
  return new ort.Tensor(t.dtype as ort.Tensor.Type, codec.to(denseData(t)) as never, t.shape);
}

function fromOrt(t: ort.Tensor): Tensor {
  if (t.type === "string") throw new Error("no string tensors");
  const dtype = t.type as DType;
  // float16 may come as Float16Array where the engine has one, as bits where not.
  const bits = dtype === "float16" && t.data instanceof Uint16Array;
  const data = bits ? codecs.float16?.from?.(t.data as Uint16Array) as number[]
    : Array.from(t.data as ArrayLike<number>, Number);
  return tensor(dtype, [...t.dims], data);
}
