/**
 * Writes an artifact directory whole or not at all, and reads one back after checking that every
 * file is what the plan says: a truncated or edited artifact is named, never executed.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artifactFiles, planSchema, type Plan } from "../../compiler/artifact/plan.ts";
import type { BuiltPlan } from "../../compiler/artifact/build.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { programFromJson } from "../../compiler/kernels/serialise.ts";
import type { Program } from "../../compiler/kernels/program.ts";
import { writeSafetensors, type TensorSource } from "../data/safetensors.ts";
import { readTensors, writeTensors } from "../data/tensorStore.ts";
import { recoverDirectory, writeDirectory, type DirectoryRules } from "./atomic.ts";
import { codeOf, fileFailure } from "./failures.ts";
import { parseJson } from "./read.ts";

const rules: DirectoryRules = { marker: artifactFiles.plan, owned: Object.values(artifactFiles) };

export interface ArtifactSource {
  readonly built: BuiltPlan;
  readonly crossbars?: {
    readonly config: object;
    readonly tensors: Iterable<TensorSource>;
  };
  /** Text of `report.html`, made from the finished plan. */
  readonly report?: (plan: Plan) => string;
}

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
};

/** @throws UserError when the directory is not ours to replace, or the disk refuses */
export async function writeArtifact(directory: string, source: ArtifactSource): Promise<Plan> {
  const { built, crossbars } = source;
  let plan: Plan | undefined;
  await writeDirectory(directory, rules, async (stage) => {
    const written: string[] = [];
    const put = async (name: string, content: string | Uint8Array): Promise<void> => {
      await writeFile(join(stage, name), content);
      written.push(name);
    };
    await mkdir(join(stage, artifactFiles.kernels));
    for (const [name, text] of built.shaders) await put(name, text);
    await put(artifactFiles.wasm, built.wasm);
    await writeTensors(join(stage, artifactFiles.weights), built.weights);
    written.push(artifactFiles.weights);
    if (crossbars) {
      await put(artifactFiles.crossbars, `${JSON.stringify(crossbars.config, null, 1)}\n`);
      await writeSafetensors(join(stage, artifactFiles.conductances), crossbars.tensors);
      written.push(artifactFiles.conductances);
    }
    const digests: Record<string, string> = {};
    for (const name of written) digests[name] = await digestOf(join(stage, name));
    plan = { ...built.plan, digests };
    await writeFile(join(stage, artifactFiles.plan), `${JSON.stringify(plan, null, 1)}\n`);
    if (source.report) await writeFile(join(stage, artifactFiles.report), source.report(plan));
  });
  return plan as Plan;
}

export interface Artifact {
  readonly directory: string;
  readonly plan: Plan;
  readonly program: Program;
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly wasm: Uint8Array;
  /** WGSL of each kernel, in the program's order. */
  readonly wgsl: readonly string[];
  /** Parsed `crossbars.json`, when the plan has analog blocks. */
  readonly crossbars?: unknown;
  readonly conductancesPath?: string;
}

const remedy = "Compile the model again with crosstie compile.";

/** @throws UserError when it is no artifact, of another version, or damaged */
export async function readArtifact(directory: string): Promise<Artifact> {
  await recoverDirectory(directory);
  const path = join(directory, artifactFiles.plan);
  const plan = parsePlan(parseJson(await readPart(path, directory), path), path);
  for (const [name, expected] of Object.entries(plan.digests)) {
    checkName(name, path);
    const file = join(directory, name);
    const actual = await digestOf(file).catch((error: unknown) => {
      throw missing(error, file);
    });
    if (actual !== expected) {
      throw new UserError("the file is not the one that was compiled (its digest differs)", {
        place: file,
        remedy,
      });
    }
  }
  const weights = await readTensors(join(directory, artifactFiles.weights));
  const program = programFromJson(plan.program, weights, path);
  const text = async (name: string): Promise<string> =>
    new TextDecoder().decode(await readPart(join(directory, name), directory));
  const byKernel = new Map(plan.shaders.map((s) => [s.kernel, s.file]));
  const wgsl = await Promise.all(
    program.kernels.map(({ name }) => {
      const file = byKernel.get(name);
      if (file === undefined) {
        throw new UserError(`no shader is named for the kernel ${name}`, { place: path, remedy });
      }
      return text(file);
    }),
  );
  const hasCrossbars = artifactFiles.crossbars in plan.digests;
  return {
    directory,
    plan,
    program,
    weights,
    wgsl,
    wasm: await readPart(join(directory, artifactFiles.wasm), directory),
    ...(hasCrossbars
      ? {
          crossbars: parseJson(
            await readPart(join(directory, artifactFiles.crossbars), directory),
            join(directory, artifactFiles.crossbars),
          ),
          conductancesPath: join(directory, artifactFiles.conductances),
        }
      : {}),
  };
}

/** Only names that the writer makes may be opened: a plan must not reach outside its folder. */
function checkName(name: string, place: string): void {
  const known =
    (Object.values(artifactFiles) as string[]).includes(name) ||
    /^kernels\/[A-Za-z0-9_]+\.wgsl$/.test(name);
  if (!known) throw new UserError(`"${name}" is not a file of an artifact`, { place, remedy });
}

function parsePlan(document: unknown, place: string): Plan {
  const version = (document as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version !== 1) {
    throw new UserError(`the artifact has version ${version}, this crosstie reads version 1`, {
      place,
      remedy,
    });
  }
  const parsed = planSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || "the document";
  throw new UserError(`is not a valid plan (${where}: ${issue?.message})`, { place, remedy });
}

async function readPart(path: string, directory: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    if (path === join(directory, artifactFiles.plan) && codeOf(error) === "ENOENT") {
      throw new UserError("holds no plan.json, so it is no artifact", {
        place: directory,
        remedy: "Name the folder that crosstie compile wrote (its -o).",
      });
    }
    throw missing(error, path);
  }
}

function missing(error: unknown, path: string): unknown {
  return codeOf(error) === "ENOENT"
    ? new UserError("is missing from the artifact", { place: path, remedy })
    : fileFailure(error, path);
}
