import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkReference } from "../../../runtime/learn/reference.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import type { ReferenceFile } from "../../../models/referenceNet.ts";

const folder = new URL("../../fixtures/ffebm/", import.meta.url);
const files = readdirSync(folder);
const read = (name: string): ReferenceFile =>
  JSON.parse(readFileSync(new URL(name, folder), "utf8")) as ReferenceFile;

describe("reference networks, in float64", () => {
  it("are all eight there", () => expect(files).toHaveLength(8));

  it.each(files)("%s: equilibrium, loss and gradients are the stored ones", async (name) => {
    const file = read(name);
    // Convolutions take the evaluator seconds for each beta: one has to do.
    const betas = name.startsWith("cnn") ? ["0.2"] : Object.keys(file.bp_ep_centered);
    const report = await checkReference(file, name, referenceEngine("f64"), betas);
    expect(report.freePhaseResidual).toBeLessThan(1e-14);
    expect(report.equilibriumMaxError).toBeLessThan(1e-10);
    expect(report.lossError).toBeLessThan(1e-12);
    expect(report.exactGradientRelativeError).toBeLessThan(1e-8);
    expect(Object.keys(report.bpEp)).toEqual(betas);
    for (const [beta, found] of Object.entries(report.bpEp)) {
      const stored = file.bp_ep_centered[beta] as ReferenceFile["bp_ep_centered"][string];
      const cosine = stored.cosine_to_exact as number;
      expect(Math.abs(found.cosineToExact - cosine), beta).toBeLessThan(1e-9);
      if (stored.gradient) expect(found.relativeErrorToStored, beta).toBeLessThan(1e-6);
      else expect(found.relativeErrorToStored).toBeNull();
    }
    expect(report.bpEp["0.2"]?.relativeErrorToStored).not.toBeNull();
  });
});

describe("a reference file that is wrong", () => {
  const broken = async (change: (file: ReferenceFile) => unknown): Promise<string> => {
    const file = read("cnn2-clamp.json");
    const changed = change(file) ?? file;
    return checkReference(changed, "net.json", referenceEngine("f64")).then(
      () => "accepted", (error: Error) => error.message);
  };
  type Writable = { -readonly [K in keyof ReferenceFile]: ReferenceFile[K] };

  it("is no reference network at all", async () => {
    expect(await broken(() => ({ activation: "relu" }))).toMatch(/^net\.json: activation: /);
  });

  it("lacks a parameter", async () => {
    const message = await broken(({ parameters }) => void delete parameters["block1.layer3.W"]);
    expect(message).toMatch(/^net\.json: block1\.layer3\.W is missing\./);
  });

  it("has a parameter that belongs nowhere", async () => {
    const message = await broken(({ parameters }) => {
      parameters["feed7.weight"] = { shape: [1], data: [0] };
    });
    expect(message).toContain("no layer has the parameter feed7.weight");
  });

  it("states a padding that its shapes contradict", async () => {
    const message = await broken((file) => {
      (file as Writable).what = file.what.replace("feed0 Conv 2-4 k3 p1", "feed0 Conv 2-4 k3 p2");
    });
    expect(message).toContain("feed0: no padding and pooling makes [4,8,8] of [2,8,8]");
  });

  it("has another number of labels than of inputs", async () => {
    const message = await broken((file) => void ((file as Writable).labels = [0, 1]));
    expect(message).toContain("there are 2 labels for 3 inputs");
  });
});
