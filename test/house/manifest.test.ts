import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readJson = (name: string): unknown => JSON.parse(readFileSync(join(root, name), "utf8"));

test("the lock file names no registry, and a digest for every package", () => {
  const { packages } = readJson("package-lock.json") as {
    packages: Record<string, { resolved?: string; integrity?: string }>;
  };
  const entries = Object.entries(packages).filter(([path]) => path !== "");
  expect(entries.length).toBeGreaterThan(100);
  expect(entries.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  expect(entries.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
});

test("every package that a user installs runs on the oldest Node that we promise", () => {
  const { engines } = readJson("package.json") as { engines: { node: string } };
  const { packages } = readJson("package-lock.json") as {
    packages: Record<string, { dev?: boolean; engines?: { node?: string } }>;
  };
  expect(engines.node).toBe(">=20");
  const tooNew = Object.entries(packages)
    .filter(([path, { dev }]) => path !== "" && dev !== true)
    .filter(([, entry]) => !admitsNode20(entry.engines?.node ?? "*"));
  expect(tooNew.map(([path]) => path)).toEqual([]);
});

/** For the range syntax that manifests use: alternatives of `>=A`, `^A`, `A`, `*`. */
function admitsNode20(range: string): boolean {
  return range.split("||").some((alternative) => {
    const [, operator = "", major] = /^\s*(>=|>|\^|~|)\s*v?(\d+|\*)/.exec(alternative) ?? [];
    if (major === "*" || alternative.trim() === "") return true;
    const least = Number(major);
    return operator === ">=" || operator === ">" ? least <= 20 : least === 20;
  });
}

test("the top level holds what the design names, and dotfiles", () => {
  const allowed = new Set([
    "package.json", "package-lock.json", "tsconfig.json", "LICENSE", "README.md",
    "compiler", "runtime", "targets", "models", "test", "node_modules", "dist", "coverage",
  ]);
  const names = readdirSync(root).filter((name) => !name.startsWith("."));
  expect(names.filter((name) => !allowed.has(name))).toEqual([]);
});
