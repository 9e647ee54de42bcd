/**
 * Files and directories written whole or not at all: under a temporary name beside the target,
 * flushed to the disk, then renamed. A process that is killed at any moment leaves the old
 * content or the new, and at worst a hidden leftover that the next write removes.
 *
 * A file is replaced by one rename, which POSIX makes atomic. A directory that is not empty
 * cannot be (Node offers no exchange of two names), so it is set aside first; a process killed
 * between the two renames leaves the target missing and the old one aside, which
 * `recoverDirectory` puts back. Not a transaction over several targets.
 */
import type { Stats } from "node:fs";
import {
  lstat, mkdir, open, readdir, realpath, rename, rm, rmdir, stat, type FileHandle,
} from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { UserError } from "../../compiler/errors.ts";
import { codeOf, fileFailure } from "./failures.ts";
import { abandoned, beginName, endName, isTemporary, removeAbandoned } from "./stale.ts";

/** What a file is to hold: text, bytes, or chunks of bytes as they come. */
export type Content =
  | string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Which directories `writeDirectory` may replace. */
export interface DirectoryRules {
  /** The file whose presence says that the directory is ours. */
  readonly marker: string;
  /** Every name that we may have put there; anything else belongs to the user and stops us. */
  readonly owned: readonly string[];
}

/**
 * Writes a file. Folders of its path are made. Throws UserError for what is the disk's or the
 * path's fault, and whatever `content` throws; in both cases the target is untouched.
 */
export async function writeFileAtomic(path: string, content: Content): Promise<void> {
  await guarded(path, async () => {
    const target = await settle(path);
    const before = await statOf(target);
    if (before !== undefined && !before.isFile()) {
      throw new UserError("not a regular file, so it is not replaced", {
        place: path, remedy: "Name a file.",
      });
    }
    await underNewName(target, async (temporary) => {
      await fill(temporary, content, (before?.mode ?? 0o666) & 0o777);
      await rename(temporary, target);
    });
  });
}

/**
 * Makes or replaces a directory with what `write` puts into the staging folder it is given.
 * An existing directory is replaced when it is empty, or when it has the marker file and nothing
 * that `rules` does not own; otherwise UserError, before `write` is called.
 */
export async function writeDirectory(
  path: string, rules: DirectoryRules, write: (stage: string) => Promise<void>,
): Promise<void> {
  await guarded(path, async () => {
    await recoverDirectory(path);
    const target = await settle(path);
    const before = await entriesToReplace(target, path, rules);
    await underNewName(target, async (stage) => {
      await mkdir(stage);
      await write(stage);
      await flushTree(stage);
      if (before.length > 0) await swap(stage, target);
      else await rename(stage, target);
    });
  });
}

/**
 * Puts a directory back that a process set aside and then died before it could put the new one
 * in its place. Readers call it before they say that a directory is missing. Does nothing
 * where the directory is there, or where the process that set it aside is alive.
 */
export async function recoverDirectory(path: string): Promise<void> {
  await guarded(path, async () => {
    const target = resolve(path);
    if (await statOf(target) !== undefined) return;
    const [aside] = await abandoned(target, "old");
    if (aside !== undefined) await rename(aside, target);
  });
}

/** Runs `work`, telling disk errors in the user's words and never naming a temporary file. */
async function guarded(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const culprit = (error as NodeJS.ErrnoException).path;
    throw fileFailure(error, culprit === undefined || isTemporary(culprit) ? path : culprit);
  }
}

/** The absolute target: a symbolic link stays and what it points to is replaced. */
async function settle(path: string): Promise<string> {
  const target = resolve(path);
  return await statOf(target) === undefined ? target : realpath(target);
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  // A dangling link has no target to stat, but a rename would destroy it.
  const link = await lstat(path).catch(() => undefined);
  if (link === undefined) return undefined;
  throw new UserError("a symbolic link that leads nowhere", {
    place: path, remedy: "Remove it, or make what it points to.",
  });
}

/** Gives `work` a temporary sibling of `target`, and leaves no trace of it when `work` fails. */
async function underNewName(
  target: string, work: (temporary: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(target);
  const made = await mkdir(parent, { recursive: true });
  await removeAbandoned(target);
  const temporary = beginName(target, "new");
  try {
    await work(temporary);
    await flush(parent);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (made !== undefined) await removeEmpty(parent, made);
    throw error;
  } finally {
    endName(temporary);
  }
}

/** Removes `folder` and the empty folders above it, up to and including `first`. */
async function removeEmpty(folder: string, first: string): Promise<void> {
  for (let at = folder; at.startsWith(first); at = dirname(at)) {
    if (!await rmdir(at).then(() => true, () => false)) return;
  }
}

async function fill(path: string, content: Content, mode: number): Promise<void> {
  const handle = await open(path, "wx", mode);
  try {
    const whole = typeof content === "string" ? new TextEncoder().encode(content) : content;
    for await (const chunk of whole instanceof Uint8Array ? [whole] : whole) {
      await writeAll(handle, chunk);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** `handle.write` may write less than it is given, and no more than 2 GiB at once. */
async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at, Math.min(chunk.length - at, 2 ** 30));
    at += bytesWritten;
  }
}

/** The names in a directory that may be replaced; none where it is absent or empty. */
async function entriesToReplace(
  target: string, path: string, { marker, owned }: DirectoryRules,
): Promise<string[]> {
  const before = await statOf(target);
  if (before === undefined) return [];
  const refuse = (sentence: string): UserError => new UserError(sentence, {
    place: path, remedy: "Choose a new folder, or move or remove this one.",
  });
  if (!before.isDirectory()) throw refuse("a file of this name is in the way");
  const fromTarget = relative(target, process.cwd());
  if (!fromTarget.startsWith("..") && !isAbsolute(fromTarget)) {
    throw refuse("the working folder itself cannot be replaced");
  }
  const names = await readdir(target);
  if (names.length === 0) return [];
  if (!names.includes(marker)) {
    throw refuse(`the folder is not empty and holds no ${marker}, so it is not replaced`);
  }
  const foreign = names.find((name) => name !== marker && !owned.includes(name));
  if (foreign !== undefined) {
    throw refuse(`the folder also holds ${foreign}, which would be lost, so it is not replaced`);
  }
  return names;
}

async function swap(stage: string, target: string): Promise<void> {
  const aside = beginName(target, "old");
  try {
    await rename(target, aside);
    try {
      await rename(stage, target);
    } catch (error) {
      await rename(aside, target);
      throw error;
    }
    await rm(aside, { recursive: true, force: true });
  } finally {
    endName(aside);
  }
}

async function flushTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await flushTree(path);
    else if (entry.isFile()) await flush(path);
  }
  await flush(folder);
}

/** Some systems refuse to flush a folder, or to open one; the rename is then as safe as it gets. */
const unflushable = new Set(["EISDIR", "EPERM", "EINVAL", "ENOTSUP", "EACCES"]);

async function flush(path: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    await handle.sync();
  } catch (error) {
    if (!unflushable.has(codeOf(error) ?? "")) throw error;
  } finally {
    await handle?.close();
  }
}
