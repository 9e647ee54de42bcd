/** Every shipped model has a card that is right, as far as its files can tell. */
import { readFile, readdir } from "node:fs/promises";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadCard } from "../../runtime/data/card.ts";
import { readNpy } from "../../runtime/data/npy.ts";

const root = new URL("../../", import.meta.url).pathname;
const names = (await readdir(join(root, "models")))
  .filter((name) => name.endsWith(".onnx")).map((name) => name.replace(".onnx", ""));

it("there are models", () => expect(names.length).toBeGreaterThanOrEqual(5));

describe.each(names)("%s", (name) => {
  it("has a card of its own name, and fixtures of the shapes it states", async () => {
    const card = await loadCard(join(root, "models", `${name}.onnx`));
    expect(card?.name).toBe(name);
    const fixture = (part: string) =>
      readNpy(join(root, "test/fixtures/models", `${name}.${part}.npy`));
    const input = await fixture("input");
    expect([input.dtype, input.shape]).toEqual(["f4", [16, ...(card?.inputShape ?? [])]]);
    expect((await fixture("logits")).shape).toEqual([16, card?.classes.length]);
  });

  it("is in the table of the README with the card's figures", async () => {
    const card = await loadCard(join(root, "models", `${name}.onnx`));
    const readme = await readFile(join(root, "models/README.md"), "utf8");
    const row = readme.split("\n").find((line) => line.startsWith(`| \`${name}\``)) ?? "";
    expect(row).toContain(`| ${card?.measuredAccuracy.toFixed(4)} |`);
    expect(row).toContain(`| ${card?.parameters.toLocaleString("en-US")} |`);
  });
});

it("names the file and the fields of a wrong card, and a missing card is none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "crosstie-card-"));
  const path = join(folder, "net.json");
  const good = JSON.parse(await readFile(join(root, "models/mnist-mlp.json"), "utf8")) as object;
  try {
    expect(await loadCard(join(folder, "net.onnx"))).toBeUndefined();
    await writeFile(path, JSON.stringify({ ...good, measuredAccuracy: 97.4, licence: undefined }));
    await expect(loadCard(join(folder, "net.onnx"))).rejects.toThrow(
      `${path}: not a model card (measuredAccuracy: Too big: expected number to be <=1;`
      + " licence: Invalid input: expected string, received undefined)."
      + " Correct the fields, or move the file away from the model.");
    await writeFile(path, "{");
    await expect(loadCard(join(folder, "net.onnx"))).rejects.toThrow(`${path}: not valid JSON: `);
  } finally {
    await rm(folder, { recursive: true });
  }
});
