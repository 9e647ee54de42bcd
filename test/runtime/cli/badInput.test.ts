/** What a person may get wrong: exit code 1, the culprit and the remedy named, nothing written. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import onnxProto from "onnx-proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeNpy } from "../../../runtime/data/npy.ts";
import { crosstie } from "../../support/cli.ts";

const { onnx } = onnxProto;
type ModelProto = InstanceType<typeof onnx.ModelProto>;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string): string => join(folder, name);

/** A copy of a shipped model after `change`. */
function changed(name: string, change: (model: ModelProto) => void): string {
  const model = onnx.ModelProto.decode(readFileSync("models/mnist-mlp.onnx")) as ModelProto;
  change(model);
  writeFileSync(at(name), onnx.ModelProto.encode(model).finish());
  return at(name);
}

/** Compiles, and checks that it failed as the person's fault and wrote nothing. */
async function refused(path: string, ...words: readonly string[]): Promise<string> {
  const before = readdirSync(folder).sort();
  const out = at("artifact");
  const result = await crosstie("compile", path, "--target", "isaac-rram", "-o", out, ...words);
  expect(result.code, result.stderr).toBe(1);
  expect(result.stdout).toBe("");
  expect(readdirSync(folder).sort()).toEqual(before);
  return result.stderr.replaceAll(folder, "DIR");
}

describe("compile refuses", () => {
  test("a truncated model", async () => {
    const bytes = readFileSync("models/mnist-lenet.onnx");
    writeFileSync(at("cut.onnx"), bytes.subarray(0, 1000));
    const message = await refused(at("cut.onnx"));
    expect(message).toContain("cut.onnx");
  });

  test("a cyclic graph, naming the cycle", async () => {
    const path = changed("cyclic.onnx", ({ graph }) => {
      const nodes = graph?.node ?? [];
      const [first, last] = [nodes[0], nodes.at(-1)];
      if (first?.input && last?.output) first.input[0] = last.output[0] as string;
    });
    const message = await refused(path);
    expect(message).toContain("cyclic.onnx");
    expect(message).toMatch(/cycl/i);
  });

  test("a missing initializer, naming the node and the value", async () => {
    let lost = "";
    const path = changed("missing.onnx", ({ graph }) => {
      lost = graph?.initializer?.pop()?.name ?? "";
    });
    const message = await refused(path);
    expect(message).toContain(lost);
  });

  test("an external-data path that leaves the model's folder", async () => {
    const path = changed("escape.onnx", ({ graph }) => {
      const weight = graph?.initializer?.[0];
      if (!weight) return;
      weight.rawData = new Uint8Array();
      weight.dataLocation = onnx.TensorProto.DataLocation.EXTERNAL;
      weight.externalData = [
        new onnx.StringStringEntryProto({
          key: "location",
          value: "../../secret.bin",
        }),
      ];
    });
    const message = await refused(path);
    expect(message).toContain("../../secret.bin");
  });

  test("a target with a negative resistance, naming the field", async () => {
    const target = JSON.parse(readFileSync("targets/presets/isaac-rram.json", "utf8")) as {
      wire: { rowSegment: { value: number } };
    };
    target.wire.rowSegment.value = -1;
    writeFileSync(at("negative.json"), JSON.stringify(target));
    const before = readdirSync(folder).sort();
    const { code, stderr } = await crosstie(
      "compile",
      "models/mnist-mlp.onnx",
      "--target",
      at("negative.json"),
      "-o",
      at("artifact"),
    );
    expect(code).toBe(1);
    expect(stderr).toContain("wire.rowSegment");
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  test("a target that does not exist, listing those that do", async () => {
    const { code, stderr } = await crosstie("compile", "models/mnist-mlp.onnx", "--target", "x");
    expect(code).toBe(1);
    expect(stderr).toContain("isaac-rram");
  });

  test("to replace a folder that is not an artifact", async () => {
    writeFileSync(at("mine.txt"), "mine");
    const { code, stderr } = await crosstie(
      "compile",
      "models/mnist-mlp.onnx",
      "--target",
      "isaac-rram",
      "-o",
      folder,
    );
    expect(code).toBe(1);
    expect(stderr).toContain(folder);
    expect(readFileSync(at("mine.txt"), "utf8")).toBe("mine");
  });
});

describe("run refuses", () => {
  test("an array of the wrong shape, with both shapes", async () => {
    await writeNpy(at("wrong.npy"), { dtype: "f4", shape: [2, 3], data: new Float32Array(6) });
    const out = at("outputs");
    const { code, stderr } = await crosstie(
      "run",
      "models/mnist-mlp.onnx",
      "--input",
      `input=${at("wrong.npy")}`,
      "-o",
      out,
    );
    expect(code).toBe(1);
    expect(stderr).toContain("[2,3]");
    expect(stderr).toContain("[N,1,28,28]");
    expect(readdirSync(folder)).not.toContain("outputs");
  });

  test("an input that the model does not have", async () => {
    const { code, stderr } = await crosstie(
      "run",
      "models/mnist-mlp.onnx",
      "--input",
      "picture=test/fixtures/models/mnist-mlp.input.npy",
    );
    expect(code).toBe(1);
    expect(stderr).toContain("Its inputs are: input.");
  });

  test("a damaged artifact, naming the file", async () => {
    const out = at("whole");
    const compiled = await crosstie(
      "compile",
      "models/mnist-mlp.onnx",
      "--target",
      "isaac-rram",
      "-o",
      out,
      "--analog",
      "none",
    );
    expect(compiled.code, compiled.stderr).toBe(0);
    const input = "input=test/fixtures/models/mnist-mlp.input.npy";
    const good = await crosstie("run", out, "--input", input, "-o", at("good"));
    expect(good.code, good.stderr).toBe(0);
    const weights = join(out, "weights.safetensors");
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    writeFileSync(weights, bytes);
    const edited = await crosstie("run", out, "--input", input, "-o", at("bad"));
    expect(edited.code).toBe(1);
    expect(edited.stderr).toContain("weights.safetensors");
    writeFileSync(join(out, "plan.json"), readFileSync(join(out, "plan.json")).subarray(0, 5000));
    const truncated = await crosstie("run", out, "--input", input, "-o", at("bad"));
    expect(truncated.code).toBe(1);
    expect(truncated.stderr).toContain("plan.json");
    expect(readdirSync(folder)).not.toContain("bad");
  });
});

test("words that mean nothing are refused with what is expected", async () => {
  expect((await crosstie("compile", "models/mnist-mlp.onnx", "--objective", "beauty")).code).toBe(
    1,
  );
  expect((await crosstie("nonsense")).code).toBe(1);
  expect((await crosstie("compile")).code).toBe(1);
  const help = await crosstie("compile", "--help");
  expect(help.code).toBe(0);
  expect(help.stdout).toContain("Example:");
});
