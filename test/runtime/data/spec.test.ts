/** The SPEC of --data: its grammar and its complaints. */
import { expect, it } from "vitest";
import { parseDataSpec, resolveRange } from "../../../runtime/data/spec.ts";
import { userMessage } from "./arbitraries.ts";

const all = { begin: 0, end: undefined };

it("reads names, splits, ranges and pairs of files", () => {
  expect(parseDataSpec("mnist:test")).toEqual(
    { kind: "named", name: "mnist", split: "test", range: all });
  expect(parseDataSpec("cifar10:train[0:10000]")).toEqual(
    { kind: "named", name: "cifar10", split: "train", range: { begin: 0, end: 10000 } });
  expect(parseDataSpec("fashion-mnist:test[5:]")).toEqual(
    { kind: "named", name: "fashion-mnist", split: "test", range: { begin: 5, end: undefined } });
  expect(parseDataSpec("my:dir/x.npy, y.npy[:3]")).toEqual(
    { kind: "files", images: "my:dir/x.npy", labels: "y.npy", range: { begin: 0, end: 3 } });
});

it("says which part is wrong and how to write it", () => {
  const help = ' Write it like "mnist:test", "cifar10:train[0:1000]" or "images.npy,labels.npy".';
  for (const [spec, why] of [
    ["", '"" is none of the data sets mnist, fashion-mnist, cifar10.'],
    ["imagenet:test", '"imagenet" is none of the data sets mnist, fashion-mnist, cifar10.'],
    ["images.npy", '"images.npy" is none of the data sets mnist, fashion-mnist, cifar10.'],
    ["mnist", '"" is none of train, test.'],
    ["mnist:valid", '"valid" is none of train, test.'],
    ["mnist:test:2", '"test:2" is none of train, test.'],
    ["mnist:test[3]", '"[3]" is no range.'],
    ["mnist:test[-3:]", '"[-3:]" is no range.'],
    ["mnist:test[3:3]", "the range [3:3] holds no sample."],
    ["a.npy,b.txt", "two .npy files are expected around the comma."],
    ["a.npy,b.npy,c.npy", "two .npy files are expected around the comma."],
  ] as const) {
    expect(userMessage(() => parseDataSpec(spec))).toBe(`data "${spec}": ${why}${help}`);
  }
});

it("keeps ranges within the data", () => {
  expect(resolveRange(all, 10, "x")).toEqual({ begin: 0, end: 10 });
  expect(resolveRange({ begin: 9, end: 10 }, 10, "x")).toEqual({ begin: 9, end: 10 });
  for (const range of [{ begin: 0, end: 11 }, { begin: 10, end: undefined }]) {
    expect(userMessage(() => resolveRange(range, 10, "x"))).toMatch(
      /^x: samples \d+ to \d+ were asked for, there are 10\. Choose a smaller range\.$/);
  }
});
