/**
 * The build: one esbuild run that turns the command line, the library and the worker scripts into
 * ESM files, all directly in dist/ (so a file's distance to the package root is the same for each).
 * Packages stay external: they are installed beside us. It is not a bundler set-up to grow; type
 * declarations come from `tsc` (`npm run types`).
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Output name -> source; every `NAME.worker.ts` under runtime/ becomes `NAME.worker` too. */
const entries = {
  crosstie: "runtime/cli/main.ts",
  index: "runtime/index.ts",
};

/** @returns {Record<string, string>} */
function workerEntries() {
  const names = existsSync(join(root, "runtime"))
    ? readdirSync(join(root, "runtime"), { recursive: true, encoding: "utf8" })
    : [];
  const workers = names.filter((name) => name.endsWith(".worker.ts"));
  return Object.fromEntries(
    workers.map((name) => [name.replace(/^.*[\\/]/, "").replace(/\.ts$/, ""), `runtime/${name}`]),
  );
}

const all = Object.entries({ ...entries, ...workerEntries() });
const present = all.filter(([, source]) => existsSync(join(root, source)));

rmSync(join(root, "dist"), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: Object.fromEntries(present),
  outdir: "dist",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  logLevel: "warning",
});
const program = join(root, "dist/crosstie.js");
if (existsSync(program)) await chmod(program, 0o755);
