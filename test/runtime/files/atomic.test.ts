/**
 * Whole or not at all. The heart is a child process that replaces a file or a directory and is
 * killed (SIGKILL, by itself) just before its n-th call of the file system, for every n there is.
 */
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import {
  chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  recoverDirectory, writeDirectory, writeFileAtomic, type DirectoryRules,
} from "../../../runtime/files/atomic.ts";

const rules: DirectoryRules = { marker: "plan.json", owned: ["part", "weights"] };

let base = "";
let folder = "";
let round = 0;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "crosstie-atomic-"));
});
afterAll(async () => rm(base, { recursive: true, force: true }));
beforeEach(async () => {
  folder = join(base, `round${round++}`);
  await mkdir(folder);
});

/** Puts an artifact of three files, one of them in a folder, which all tell its generation. */
async function writeGeneration(target: string, generation: string): Promise<void> {
  await writeDirectory(target, rules, async (stage) => {
    await writeFile(join(stage, "weights"), generation);
    await mkdir(join(stage, "part"));
    await writeFile(join(stage, "part", "kernel"), generation);
    await writeFile(join(stage, "plan.json"), generation);
  });
}

/** What the three files say, each generation once. */
async function generationsOf(target: string): Promise<string[]> {
  const names = ["weights", "part/kernel", "plan.json"];
  const found = await Promise.all(names.map((name) => readFile(join(target, name), "utf8")));
  return [...new Set(found)];
}

describe("writeFileAtomic", () => {
  it("writes text, bytes and chunks, and makes the folders of the path", async () => {
    const path = join(folder, "a", "b", "c.txt");
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    const asynchronous = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes("fo");
      yield bytes("ur");
    };
    for (const [content, expected] of [
      ["one", "one"], [bytes("two"), "two"], [[bytes("thr"), bytes("ee")], "three"],
      [asynchronous(), "four"], ["", ""],
    ] as const) {
      await writeFileAtomic(path, content);
      expect(await readFile(path, "utf8")).toBe(expected);
      expect(await readdir(join(folder, "a", "b"))).toEqual(["c.txt"]);
    }
  });

  it("leaves the old file, and no trace, when the content fails", async () => {
    const path = join(folder, "new", "x.bin");
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(100);
      throw new Error("no more");
    };
    await expect(writeFileAtomic(path, failing())).rejects.toThrow("no more");
    expect(await readdir(folder)).toEqual([]);
    await writeFileAtomic(path, "old");
    await expect(writeFileAtomic(path, failing())).rejects.toThrow("no more");
    expect(await readdir(join(folder, "new"))).toEqual(["x.bin"]);
    expect(await readFile(path, "utf8")).toBe("old");
  });

  it("keeps the rights of the file it replaces, and the link that leads to it", async () => {
    const path = join(folder, "real");
    await writeFile(path, "old");
    await chmod(path, 0o600);
    await symlink("real", join(folder, "link"));
    await writeFileAtomic(join(folder, "link"), "new");
    expect(await readFile(path, "utf8")).toBe("new");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readdir(folder)).sort()).toEqual(["link", "real"]);
  });

  it("refuses what is no regular file, in the user's words", async () => {
    await expect(writeFileAtomic("/dev/null", "x")).rejects.toThrow(
      "/dev/null: not a regular file, so it is not replaced. Name a file.");
    await expect(writeFileAtomic(folder, "x")).rejects.toThrow("not a regular file");
    await symlink("nowhere", join(folder, "dangling"));
    await expect(writeFileAtomic(join(folder, "dangling"), "x")).rejects.toThrow(
      "a symbolic link that leads nowhere. Remove it, or make what it points to.");
    await writeFile(join(folder, "file"), "");
    await expect(writeFileAtomic(join(folder, "file", "x"), "x")).rejects.toThrow(
      `${join(folder, "file", "x")}: a part of the path is not a folder. Check the path.`);
  });
});

describe("writeDirectory", () => {
  it("makes a folder, fills an empty one, replaces its own", async () => {
    const target = join(folder, "deep", "artifact");
    await writeGeneration(target, "one");
    expect(await generationsOf(target)).toEqual(["one"]);
    await writeFile(join(target, "part", "stale kernel"), "");
    await writeGeneration(target, "two");
    expect(await generationsOf(target)).toEqual(["two"]);
    expect(await readdir(join(target, "part"))).toEqual(["kernel"]);
    await mkdir(join(folder, "empty"));
    await writeGeneration(join(folder, "empty"), "three");
    expect(await generationsOf(join(folder, "empty"))).toEqual(["three"]);
    expect(await readdir(join(folder, "deep"))).toEqual(["artifact"]);
  });

  it("does not replace what it did not make", async () => {
    const target = join(folder, "mine");
    await mkdir(target);
    await writeFile(join(target, "thesis.tex"), "");
    await expect(writeGeneration(target, "one")).rejects.toThrow(
      `${target}: the folder is not empty and holds no plan.json, so it is not replaced.`
      + " Choose a new folder, or move or remove this one.");
    await writeFile(join(target, "plan.json"), "");
    await expect(writeGeneration(target, "one")).rejects.toThrow(
      "the folder also holds thesis.tex, which would be lost, so it is not replaced.");
    expect((await readdir(target)).sort()).toEqual(["plan.json", "thesis.tex"]);
    await expect(writeGeneration(join(target, "plan.json"), "one")).rejects.toThrow(
      "a file of this name is in the way");
    await expect(writeGeneration(process.cwd(), "one")).rejects.toThrow(
      "the working folder itself cannot be replaced");
    await expect(writeGeneration(join(target, "plan.json", "deep"), "one")).rejects.toThrow(
      `${join(target, "plan.json", "deep")}: a part of the path is not a folder. Check the path.`);
  });

  it("leaves the old folder, and no trace, when writing fails", async () => {
    const fail = (target: string): Promise<void> =>
      writeDirectory(target, rules, async (stage) => {
        await writeFile(join(stage, "plan.json"), "half");
        throw new Error("interrupted");
      });
    await expect(fail(join(folder, "a", "b"))).rejects.toThrow("interrupted");
    expect(await readdir(folder)).toEqual([]);
    await writeGeneration(join(folder, "a"), "one");
    await expect(fail(join(folder, "a"))).rejects.toThrow("interrupted");
    expect(await generationsOf(join(folder, "a"))).toEqual(["one"]);
    expect(await readdir(folder)).toEqual(["a"]);
  });

  it("leaves the stage of another writer alone; the first to finish wins", async () => {
    const target = join(folder, "shared");
    await expect(writeDirectory(target, rules, async (stage) => {
      await writeFile(join(stage, "plan.json"), "outer");
      await writeGeneration(target, "inner");
      expect(await readdir(stage)).toEqual(["plan.json"]);
    })).rejects.toThrow(`${target}: the folder is not empty. Choose another folder.`);
    expect(await generationsOf(target)).toEqual(["inner"]);
    expect(await readdir(folder)).toEqual(["shared"]);
  });
});

describe("a process that is killed", () => {
  let child = "";
  beforeAll(async () => {
    child = join(base, "child.mjs");
    const atomic = new URL("../../../runtime/files/atomic.ts", import.meta.url).pathname;
    await build({
      stdin: { contents: childSource(atomic), resolveDir: base, loader: "ts" },
      bundle: true, platform: "node", format: "esm", outfile: child,
    });
  });

  /** Runs the child, which dies before call `fatal`; true when it lived to its end. */
  function run(kind: "file" | "directory", target: string, fatal: number): boolean {
    const { signal, status, stderr } = spawnSync(process.execPath, [
      child, kind, target, String(fatal),
    ]);
    if (signal === "SIGKILL") return false;
    expect([status, signal, stderr.toString()]).toEqual([0, null, ""]);
    return true;
  }

  /** Kills at every call in turn; returns how many deaths there were and what they left behind. */
  async function everyDeath(
    kind: "file" | "directory", target: string,
    prepare: () => Promise<void>, check: (lived: boolean) => Promise<void>,
  ): Promise<{ deaths: number; leftovers: Set<string> }> {
    const leftovers = new Set<string>();
    for (let fatal = 1; ; fatal++) {
      await prepare();
      const lived = run(kind, target, fatal);
      for (const name of await readdir(folder)) {
        leftovers.add(name.replace(/-[^-]*\.\d+\.[0-9a-f]+$/, ""));
      }
      await check(lived);
      if (lived) return { deaths: fatal - 1, leftovers };
    }
  }

  it("leaves the old file or the new one", async () => {
    const target = join(folder, "x.bin");
    const { deaths, leftovers } = await everyDeath("file", target,
      async () => writeFileAtomic(target, "old"),
      async (lived) => {
        const content = await readFile(target, "utf8");
        expect(lived ? ["new".repeat(1000)] : ["old", "new".repeat(1000)]).toContain(content);
      });
    expect(deaths).toBeGreaterThan(4);
    expect([...leftovers].sort()).toEqual([".x.bin.crosstie-new", "x.bin"]);
    await writeFileAtomic(target, "next");
    expect(await readdir(folder)).toEqual(["x.bin"]);
  });

  it("leaves the old folder or the new one, and the next write tidies up", async () => {
    const target = join(folder, "artifact");
    let recovered = 0;
    const { deaths, leftovers } = await everyDeath("directory", target,
      async () => writeGeneration(target, "old"),
      async (lived) => {
        const there = await readdir(target).then(() => true, () => false);
        if (!there) {
          recovered++;
          await recoverDirectory(target);
        }
        const [generation, ...others] = await generationsOf(target);
        expect(others).toEqual([]);
        expect(lived ? ["new"] : ["old", "new"]).toContain(generation);
        expect((await readdir(target)).sort()).toEqual(["part", "plan.json", "weights"]);
      });
    expect(deaths).toBeGreaterThan(15);
    // One death falls between the two renames, where only `recoverDirectory` helps.
    expect(recovered).toBe(1);
    expect([...leftovers].sort()).toEqual(
      [".artifact.crosstie-new", ".artifact.crosstie-old", "artifact"]);
    await writeGeneration(target, "next");
    expect(await readdir(folder)).toEqual(["artifact"]);
  });

  it("leaves nothing visible where there was nothing", async () => {
    const target = join(folder, "artifact");
    await everyDeath("directory", target,
      async () => rm(target, { recursive: true, force: true }),
      async () => {
        const names = (await readdir(folder)).filter((name) => !name.startsWith("."));
        if (names.length > 0) expect(await generationsOf(target)).toEqual(["new"]);
      });
    await writeGeneration(target, "next");
    expect(await readdir(folder)).toEqual(["artifact"]);
  });
});

/** A program that kills itself before its n-th call of a function of node:fs/promises. */
const childSource = (atomic: string): string => `
  import fs from "node:fs/promises";
  import { syncBuiltinESMExports } from "node:module";
  import { writeDirectory, writeFileAtomic } from ${JSON.stringify(atomic)};
  const [, , kind, target, fatal] = process.argv;
  let calls = 0;
  for (const name of ["open", "mkdir", "readdir", "rename", "rm", "rmdir", "stat", "writeFile"]) {
    const original = fs[name];
    fs[name] = (...given) => {
      if (++calls === Number(fatal)) process.kill(process.pid, "SIGKILL");
      return original(...given);
    };
  }
  syncBuiltinESMExports();
  if (kind === "file") {
    const content = Array.from({ length: 1000 }, () => new TextEncoder().encode("new"));
    await writeFileAtomic(target, content);
  } else {
    await writeDirectory(target, ${JSON.stringify(rules)}, async (stage) => {
      await fs.writeFile(stage + "/weights", "new");
      await fs.mkdir(stage + "/part");
      await fs.writeFile(stage + "/part/kernel", "new");
      await fs.writeFile(stage + "/plan.json", "new");
    });
  }
`;
