/**
 * Finds target and device files: the presets shipped with the package, and files of the person's
 * own. Presets are discovered by listing their folder, so adding one is adding a JSON file. What
 * the data means is the business of `targets/`.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../../targets/errors.ts";
import type { Device } from "../../targets/device.ts";
import type { Target } from "../../targets/schema.ts";
import { parseDevice, parseTarget } from "../../targets/target.ts";

/** A target with what belongs to it. */
export interface LoadedTarget {
  readonly target: Target;
  /** The cell's device model; undefined for a digital target. */
  readonly device: Device | undefined;
  /** The files' JSON as it was read, for sweeps and for the artifact. */
  readonly json: unknown;
  readonly deviceJson?: unknown;
  readonly path: string;
}

const FOLDERS = { presets: "presets", devices: "devices" } as const;

/** The package's own `targets` folder, from the source tree as from the bundle. */
export function targetsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, "targets", FOLDERS.presets);
    if (existsSync(candidate)) return join(folder, "targets");
    const parent = dirname(folder);
    if (parent === folder) {
      throw new UserError("the preset files are missing", {
        place: "targets/presets",
        remedy: "Reinstall the package; its targets folder must stand beside its code.",
      });
    }
    folder = parent;
  }
}

function names(folder: string): string[] {
  return readdirSync(join(targetsFolder(), folder))
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/** Names of the shipped targets, sorted. */
export const targetNames = (): string[] => names(FOLDERS.presets);

/** Names of the shipped devices, sorted. */
export const deviceNames = (): string[] => names(FOLDERS.devices);

function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(`cannot be read (${(error as Error).message})`, {
      place: path,
      remedy: "Check the path.",
    });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`is not JSON (${(error as Error).message})`, {
      place: path,
      remedy: "Correct the file; a target is one JSON object.",
    });
  }
}

const looksLikePath = (name: string): boolean => name.endsWith(".json") || /[\\/]/.test(name);

function locate(name: string, kind: "target" | "device", base: string): string {
  if (looksLikePath(name)) return resolve(base, name);
  const folder = kind === "target" ? FOLDERS.presets : FOLDERS.devices;
  const path = join(targetsFolder(), folder, `${name}.json`);
  if (existsSync(path)) return path;
  throw new UserError(`no ${kind} is called "${name}"`, {
    place: `--${kind}`,
    remedy: `Use a path to a .json file or one of: ${names(folder).join(", ")}.`,
  });
}

/**
 * A device model by name, or by a path.
 * @param base folder that a relative path starts from
 * @throws UserError when there is no such device, or the file is wrong
 */
export function loadDevice(nameOrPath: string, base: string = process.cwd()): Device {
  const path = locate(nameOrPath, "device", base);
  return parseDevice(readJson(path), path);
}

/**
 * A target by name, or by a path, with the device model that its cells name.
 * @throws UserError when there is no such target, or one of the two files is wrong
 */
export function loadTarget(nameOrPath: string): LoadedTarget {
  const path = locate(nameOrPath, "target", process.cwd());
  return targetFromJson(readJson(path), path);
}

/** A target from JSON that was read before (and perhaps changed by a sweep). */
export function targetFromJson(json: unknown, path: string): LoadedTarget {
  const target = parseTarget(json, path);
  if (target.kind !== "hybrid") return { target, device: undefined, json, path };
  const devicePath = locate(target.cell.device, "device", dirname(path));
  const deviceJson = readJson(devicePath);
  return { target, device: parseDevice(deviceJson, devicePath), json, deviceJson, path };
}

/** What `crosstie targets` prints of one target. */
export interface TargetSummary {
  readonly name: string;
  readonly kind: Target["kind"];
  /** Node, in nanometres with its unit. */
  readonly process: string;
  /** Evidence and the works that its figures come from. */
  readonly source: string;
  readonly summary: string;
}

/** Summaries of all shipped targets, sorted by name. */
export function listTargets(): TargetSummary[] {
  return targetNames().map((name) => summarise(loadTarget(name).target));
}

/** The summary of one target. */
export function summarise(target: Target): TargetSummary {
  return {
    name: target.name,
    kind: target.kind,
    process: `${Number((target.process.value * 1e9).toPrecision(6))} nm`,
    source: `${target.evidence}: ${Object.values(target.references).join("; ")}`,
    summary: target.summary,
  };
}
