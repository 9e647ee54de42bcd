/** The library: what the commands do, as functions. */
export { compile, optimise, passes } from "../compiler/compile.ts";
export type { Compiled, CompileOptions } from "../compiler/compile.ts";
export { InternalError, UserError } from "../compiler/errors.ts";
export { inspectModel, type Inspection } from "../compiler/onnx/inspect.ts";
export { compileModel, type CompileRequest, type CompileResult } from "./api/compileModel.ts";
export { netlistOf, type NetlistRequest, type NetlistResult } from "./api/netlist.ts";
export { profileModel, type ProfileRequest, type ProfileResult } from "./api/profile.ts";
export { runModel, type RunRequest, type RunResult } from "./api/run.ts";
export { simulate, type SimulateRequest, type SimulateResult } from "./api/simulate.ts";
export { solveArrayFile } from "./chip/wires/solveArrayFile.ts";
export { openDevice } from "./device/open.ts";
export { loadModel } from "./files/modelFiles.ts";
export { listTargets, loadTarget } from "./files/targetFiles.ts";
export { checkReference } from "./learn/reference.ts";
export { trainModel, type TrainReport, type TrainRequest } from "./learn/trainModel.ts";
export { openEngine } from "./learn/openEngine.ts";
export { runConformance } from "./verify.ts";
export { VERSION } from "./api/version.ts";
