/**
 * How measurements run (`npm run bench`): the files `test/bench/*.bench.ts`, one process at a time.
 * Comparisons with other projects live in test/bench/peers/, which has a package file of its own
 * and is run from there, so that `npm ci` stays light.
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    pool: "forks",
    fileParallelism: false,
    testTimeout: 600_000,
    benchmark: { include: ["test/bench/*.bench.ts"] },
  },
});
