/**
 * How tests run. Four projects by file name: fast and slow (`*.slow.test.ts`), a file per core;
 * webgpu (`*.webgpu.test.ts`, one process at a time, because the adapter may be a software one
 * that uses every core) and browser (`*.browser.test.ts`). Always processes, never threads: Dawn's
 * Node binding crashes in a worker thread.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { ClosingReporter } from "../test/support/closingReporter.ts";

const special = ["slow", "webgpu", "browser"] as const;
const seconds = 1000;

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    pool: "forks",
    // Vitest leaves a core free, which on two cores halves the speed.
    maxWorkers: availableParallelism(),
    reporters: ["default", new ClosingReporter()],
    testTimeout: 30 * seconds,
    hookTimeout: 60 * seconds,
    allowOnly: false,
    projects: [
      {
        extends: true,
        test: {
          name: "fast",
          // Files of a process share modules: a quarter of the time was importing them anew.
          isolate: false,
          include: ["test/**/*.test.ts"],
          exclude: ["**/node_modules/**", ...special.map((name) => `test/**/*.${name}.test.ts`)],
        },
      },
      ...special.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [`test/**/*.${name}.test.ts`],
          exclude: ["**/node_modules/**"],
          testTimeout: 600 * seconds,
          hookTimeout: 600 * seconds,
          // Slow tests count processor time where they count time; adapters are one at a time.
          fileParallelism: name === "slow",
          sequence: { groupOrder: 1 + special.indexOf(name) },
        },
      })),
    ],
  },
});
