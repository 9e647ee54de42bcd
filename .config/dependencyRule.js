/**
 * The dependency rule: imports point only upwards in targets <- compiler <- models <- runtime <-
 * test, targets and compiler touch no Node built-in, and no module imports itself in a circle.
 * Direction counts type-only imports too (a type is knowledge); circles count only imports that
 * exist at run time. What pure code may not *name* (clock, process, ...) is the linter's business.
 *
 * Run as a program it checks this project and prints each violation.
 */
import { builtinModules } from "node:module";
import { posix } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { Graph, alg } from "@dagrejs/graphlib";
import ts from "typescript";
import { layers, readSourceFiles } from "./sourceFiles.js";

const pureLayers = new Set(["targets", "compiler"]);
const builtins = new Set(builtinModules);

/**
 * @typedef {object} Import
 * @property {string} specifier
 * @property {boolean} typeOnly erased before run time
 * @property {number} line
 */

/**
 * Every import of a file: declarations, re-exports, `import()` and `import("x").Type`.
 * @param {string} path
 * @param {string} text
 * @returns {Import[]}
 */
export function importsOf(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  /** @type {Import[]} */
  const found = [];
  /** @param {ts.Node | undefined} node @param {boolean} typeOnly */
  const add = (node, typeOnly) => {
    if (node === undefined || !ts.isStringLiteralLike(node)) return;
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
    found.push({ specifier: node.text, typeOnly, line: line + 1 });
  };
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** @param {string} path */
const layerOf = (path) => path.slice(0, Math.max(0, path.indexOf("/")));

/** @param {string} specifier */
const isBuiltin = (specifier) =>
  specifier.startsWith("node:") || builtins.has(specifier.split("/")[0] ?? specifier);

/**
 * @param {string} path @param {Import} found
 * @returns {string | undefined} what is wrong with this import
 */
function judge(path, { specifier }) {
  const from = layerOf(path);
  if (!specifier.startsWith(".")) {
    return pureLayers.has(from) && isBuiltin(specifier)
      ? `${from}/ is pure and must not import the built-in "${specifier}"`
      : undefined;
  }
  const to = layerOf(posix.join(posix.dirname(path), specifier));
  const [rankFrom, rankTo] = [layers.indexOf(from), layers.indexOf(to)];
  if (rankTo < 0) {
    return from === "test" ? undefined : `"${specifier}" lies outside ${layers.join(", ")}`;
  }
  return rankTo > rankFrom ? `${from}/ must not import ${to}/ ("${specifier}")` : undefined;
}

/**
 * @param {ReadonlyMap<string, string>} files path relative to the root -> text
 * @returns {string[]} one sentence per violation, empty when the rule holds
 */
export function findViolations(files) {
  /** @type {string[]} */
  const violations = [];
  const graph = new Graph({ directed: true });
  for (const [path, text] of files) {
    for (const found of importsOf(path, text)) {
      const wrong = judge(path, found);
      if (wrong !== undefined) violations.push(`${path}:${found.line}: ${wrong}`);
      const target = posix.join(posix.dirname(path), found.specifier);
      const relative = found.specifier.startsWith(".");
      if (relative && !found.typeOnly && files.has(target)) graph.setEdge(path, target);
    }
  }
  for (const circle of alg.findCycles(graph)) {
    violations.push(`import circle: ${[...circle, circle[0]].join(" -> ")}`);
  }
  return violations;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const files = readSourceFiles(fileURLToPath(new URL("..", import.meta.url)));
  const violations = findViolations(files);
  for (const violation of violations) console.error(violation);
  if (violations.length > 0) process.exitCode = 1;
  else console.log(`dependency rule: ${files.size} files, no violation`);
}
