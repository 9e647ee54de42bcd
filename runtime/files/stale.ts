/**
 * Names of unfinished work: a hidden sibling of the target that says what it is, which machine
 * and process made it, and so whether anybody still works on it. Leftovers of processes that
 * died are found by these names and removed the next time the same target is written.
 */
import { randomBytes } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { codeOf } from "./failures.ts";

/** `new` is being written; `old` is what a directory swap is about to replace. */
export type Role = "new" | "old";

/** Names that this process works on, so that a recycled process id is told from our own. */
const active = new Set<string>();

const machine = (): string => hostname().replaceAll(/[^A-Za-z0-9-]/g, "") || "host";

const prefixOf = (target: string, role: Role): string => `.${basename(target)}.crosstie-${role}-`;

/** A fresh sibling name for `target`, registered as being worked on. */
export function beginName(target: string, role: Role): string {
  const unique = `${machine()}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const path = join(dirname(target), prefixOf(target, role) + unique);
  active.add(path);
  return path;
}

export const endName = (path: string): void => void active.delete(path);

/** Whether a path is, or lies in, one of these temporary names. */
export const isTemporary = (path: string): boolean => /\.crosstie-(new|old)-/.test(path);

/** Siblings of `target` in `role` that a process of this machine left behind when it died. */
export async function abandoned(target: string, role: Role): Promise<string[]> {
  const prefix = prefixOf(target, role);
  const folder = dirname(target);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
  return names
    .filter((name) => name.startsWith(prefix) && isAbandoned(name.slice(prefix.length)))
    .map((name) => join(folder, name))
    .filter((path) => !active.has(path))
    .sort();
}

/** Removes what dead processes left of earlier attempts to write `target`. */
export async function removeAbandoned(target: string): Promise<void> {
  for (const role of ["new", "old"] as const) {
    for (const path of await abandoned(target, role)) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

/** Another machine's work on a shared disk is never ours to judge. */
function isAbandoned(unique: string): boolean {
  const [, host, pid] = /^([A-Za-z0-9-]+)\.(\d+)\.[0-9a-f]{8}$/.exec(unique) ?? [];
  if (host !== machine()) return false;
  if (Number(pid) === process.pid) return true;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return codeOf(error) === "ESRCH";
  }
}
