/** The library: what the commands do, as functions. */
export {
  compile,
  optimise,
  passes,
  type Compiled,
  type CompileOptions,
} from "../compiler/compile.ts";
export { InternalError, UserError } from "../compiler/errors.ts";
export { compileModel, type CompileRequest, type CompileResult } from "./api/compileModel.ts";
export { runModel, type RunRequest, type RunResult } from "./api/run.ts";
export { simulate, type SimulateRequest, type SimulateResult } from "./api/simulate.ts";
export { listTargets, loadTarget } from "./files/targetFiles.ts";
export { solveArrayFile } from "./chip/wires/solveArrayFile.ts";
export { openDevice } from "./device/open.ts";
export { VERSION } from "./api/version.ts";
