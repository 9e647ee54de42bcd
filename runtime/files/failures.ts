/**
 * What went wrong on the disk, in the user's words: a table from the system's error codes to a
 * sentence and a remedy. Not a wrapper of node:fs: a code that is not in the table is nobody's
 * fault that we know of, and the original error goes through as it is.
 */
import { UserError } from "../../compiler/errors.ts";

interface Meaning {
  readonly sentence: string;
  readonly remedy: string;
}

const meanings: Readonly<Record<string, Meaning>> = {
  ENOENT: { sentence: "no such file or folder", remedy: "Check the path." },
  EACCES: { sentence: "permission denied", remedy: "Check the rights on the file and its folder." },
  EPERM: { sentence: "operation not permitted", remedy: "Check the rights on the file." },
  EROFS: { sentence: "the file system is read-only", remedy: "Choose another place." },
  ENOSPC: { sentence: "the disk is full", remedy: "Free some space or choose another place." },
  EDQUOT: { sentence: "the disk quota is used up", remedy: "Free some space." },
  EISDIR: { sentence: "this is a folder, not a file", remedy: "Name a file." },
  ENOTDIR: { sentence: "a part of the path is not a folder", remedy: "Check the path." },
  EEXIST: { sentence: "a file of this name is in the way", remedy: "Choose another name." },
  ENOTEMPTY: { sentence: "the folder is not empty", remedy: "Choose another folder." },
  EBUSY: { sentence: "in use, or a mount point", remedy: "Choose a folder inside it." },
  EXDEV: { sentence: "lies across two file systems", remedy: "Choose another folder." },
  ELOOP: { sentence: "too many symbolic links", remedy: "Check the links of the path." },
  ENAMETOOLONG: { sentence: "the name is too long", remedy: "Choose a shorter name." },
  EMFILE: { sentence: "too many open files", remedy: "Raise the limit with `ulimit -n`." },
};

/** The error's system code ("ENOENT"), if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** The error as a UserError that names `path`, or the error itself if it is not about the disk. */
export function fileFailure(error: unknown, path: string): unknown {
  const meaning = meanings[codeOf(error) ?? ""];
  if (meaning === undefined) return error;
  return new UserError(meaning.sentence, { place: path, remedy: meaning.remedy });
}
