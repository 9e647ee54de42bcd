/**
 * The list of source files that the house's own checks read: every .ts file of the five folders,
 * as paths relative to the root with forward slashes. Not a glob library.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The folders in import order: each may import itself and those before it. */
export const layers = ["targets", "compiler", "models", "runtime", "test"];

/**
 * @param {string} root folder of the project
 * @returns {Map<string, string>} path relative to the root -> text
 */
export function readSourceFiles(root) {
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const layer of layers) {
    for (const path of listTypeScript(root, layer)) {
      files.set(path, readFileSync(join(root, path), "utf8"));
    }
  }
  return files;
}

/**
 * @param {string} root
 * @param {string} folder relative to the root
 * @returns {string[]}
 */
function listTypeScript(root, folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      return entry.name === "node_modules" ? [] : listTypeScript(root, path);
    }
    return entry.name.endsWith(".ts") ? [path] : [];
  });
}
