/** Finds files that ship with the package, from the source tree as from the bundle. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../../compiler/errors.ts";

/** @throws UserError when the file is not where the package has it */
export function packageFile(name: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
    if (dirname(folder) === folder) {
      throw new UserError("a file of the package is missing", {
        place: name,
        remedy: "Reinstall the package; its folders must stand beside its code.",
      });
    }
  }
}
