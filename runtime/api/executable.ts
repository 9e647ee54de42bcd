/**
 * What `run` and `simulate` execute: an artifact directory, or an ONNX file compiled in memory for
 * the shapes at hand. Both become a session on a device and the positions of the analog blocks.
 */
import { stat } from "node:fs/promises";
import { UserError } from "../../compiler/errors.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import { optimise } from "../../compiler/compile.ts";
import { specialise } from "../../compiler/onnx/specialise.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { HybridSession, type BlockPosition } from "../execute/hybridSession.ts";
import { Session } from "../execute/session.ts";
import { readArtifact, type Artifact } from "../files/artifactFiles.ts";
import { loadModel } from "../files/modelFiles.ts";
import type { Device } from "../device/device.ts";

export const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );

export interface Executable {
  readonly hybrid: HybridSession;
  /** Set when it came from a directory. */
  readonly artifact?: Artifact;
  /** What the import fixed for these inputs, for a person. */
  readonly notes: readonly string[];
}

export async function openArtifact(
  directory: string,
  device: Device,
): Promise<Executable & { readonly artifact: Artifact }> {
  const artifact = await readArtifact(directory);
  const { program, wgsl, wasm, plan } = artifact;
  const session = await Session.create(device, program, { wgsl, wasm });
  const blocks = plan.segments.flatMap((s): BlockPosition[] =>
    s.kind === "analog" ? [{ id: s.id, dispatch: s.dispatches[0] as number }] : [],
  );
  return { hybrid: new HybridSession(session, blocks), artifact, notes: [] };
}

/** Compiles a model in memory for these inputs: all digital, nothing is written. */
export async function openModel(
  path: string,
  inputs: ReadonlyMap<string, Tensor>,
  device: Device,
): Promise<Executable> {
  const model = await loadModel(path);
  const { graph, report } = specialise(model, inputs);
  const program = buildProgram(optimise(graph, device.profile));
  const session = await Session.create(device, program);
  return { hybrid: new HybridSession(session, []), notes: report.notes };
}

/** @throws UserError when the path is neither */
export async function openExecutable(
  path: string,
  inputs: ReadonlyMap<string, Tensor>,
  device: Device,
): Promise<Executable> {
  if (await isDirectory(path)) return openArtifact(path, device);
  if (!/\.onnx$/i.test(path)) {
    throw new UserError("is neither an artifact folder nor an .onnx file", {
      place: path,
      remedy: "Name a folder that crosstie compile wrote, or a model.",
    });
  }
  return openModel(path, inputs, device);
}
