/** All commands, in the order in which help lists them. */
import type { CommandSpec } from "../command.ts";
import { checkGradients } from "./checkGradients.ts";
import { compileCommand } from "./compile.ts";
import { demo } from "./demo.ts";
import { exportCommand } from "./export.ts";
import { fetchData } from "./fetchData.ts";
import { inspect } from "./inspect.ts";
import { netlist } from "./netlist.ts";
import { profile } from "./profile.ts";
import { report } from "./report.ts";
import { run } from "./run.ts";
import { serve } from "./serve.ts";
import { simulate } from "./simulate.ts";
import { solveArray } from "./solveArray.ts";
import { targets } from "./targets.ts";
import { train } from "./train.ts";
import { verify } from "./verify.ts";

export const commands: readonly CommandSpec[] = [
  inspect,
  compileCommand,
  exportCommand,
  run,
  simulate,
  profile,
  verify,
  targets,
  train,
  checkGradients,
  netlist,
  solveArray,
  report,
  serve,
  fetchData,
  demo,
];
