/** All commands, in the order in which help lists them. */
import type { CommandSpec } from "../command.ts";
import { compileCommand } from "./compile.ts";
import { demo } from "./demo.ts";
import { fetchData } from "./fetchData.ts";
import { run } from "./run.ts";
import { simulate } from "./simulate.ts";
import { solveArray } from "./solveArray.ts";
import { targets } from "./targets.ts";

export const commands: readonly CommandSpec[] = [
  compileCommand,
  run,
  simulate,
  targets,
  solveArray,
  fetchData,
];
