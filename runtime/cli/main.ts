#!/usr/bin/env node
/** The command line's entry: the list of commands, one file each. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { commands } from "./commands/index.ts";
import { runProgram } from "./program.ts";

const here = dirname(fileURLToPath(import.meta.url));
const manifest = JSON.parse(readFileSync(join(here, "../package.json"), "utf8")) as {
  version: string;
};
// A reader that closes the pipe early (head, less) ends the output, not with an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
const { code } = await runProgram(commands, manifest.version, process.argv.slice(2));
process.exitCode = code;
