/** Reads `H=224,W=224`: numbers for symbolic sizes. */
import { UserError } from "../../compiler/errors.ts";

export function parseBindings(text: string | undefined): Record<string, number> | undefined {
  if (text === undefined) return undefined;
  return Object.fromEntries(
    text.split(",").map((part) => {
      const match = /^([^=]+)=(\d+)$/.exec(part.trim());
      if (!match) {
        throw new UserError(`"${part}" does not bind a size`, {
          place: "--bind",
          remedy: "Write NAME=NUMBER, separated by commas: --bind H=224,W=224.",
        });
      }
      return [match[1] as string, Number(match[2])];
    }),
  );
}

/** Reads `NAME=FILE` options. */
export function parseAssignments(texts: readonly string[], flag: string): Map<string, string> {
  return new Map(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at <= 0 || at === text.length - 1) {
        throw new UserError(`"${text}" does not name an input and a file`, {
          place: flag,
          remedy: `Write ${flag} NAME=FILE.npy.`,
        });
      }
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
