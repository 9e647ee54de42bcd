#!/usr/bin/env node
/** The command line's entry: the list of commands, one file each. */
import "./engineFlags.ts";
import { VERSION } from "../api/version.ts";
import { commands } from "./commands/index.ts";
import { runProgram } from "./program.ts";

// A reader that closes the pipe early (head, less) ends the output, not with an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
const { code } = await runProgram(commands, VERSION, process.argv.slice(2));
process.exitCode = code;
