/** The five shipped models with their stored samples and reference outputs. */
import { readNpy } from "../../runtime/data/npy.ts";
import { toTensor } from "../../runtime/data/tensors.ts";
import { sizeOf, type Tensor } from "../../compiler/graph/tensor.ts";

export const modelNames = [
  "mnist-mlp",
  "mnist-lenet",
  "mnist-vit",
  "cifar10-resnet8",
  "cifar10-mobilenet",
] as const;

export const modelPath = (name: string): string => `models/${name}.onnx`;

const firstRows = (t: Tensor, count: number): Tensor => {
  const row = sizeOf(t.shape.slice(1));
  return { ...t, shape: [count, ...t.shape.slice(1)], data: t.data.slice(0, count * row) };
};

/** The first `count` stored samples and what PyTorch gave for them. */
export async function samplesOf(
  name: string,
  count: number,
): Promise<{ input: Tensor; logits: Tensor }> {
  const read = async (what: string): Promise<Tensor> => {
    const path = `test/fixtures/models/${name}.${what}.npy`;
    return firstRows(toTensor(await readNpy(path), path), count);
  };
  return { input: await read("input"), logits: await read("logits") };
}
