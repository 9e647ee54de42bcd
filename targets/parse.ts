/**
 * Turns a schema's complaints into the project's one-sentence user errors, and checks what a schema
 * cannot: that every figure's source is known. Shared by target and device files.
 */
import type { z } from "zod";
import { UserError } from "./errors.ts";
import { SOURCE_WORDS, unsourced } from "./figure.ts";

type Issue = z.core.$ZodIssue;

/** `components[3].energy.value`, or the empty string at the root. */
function jsonPath(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`))
    .join("")
    .replace(/^\./, "");
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let node = root;
  for (const step of path) {
    if (typeof node !== "object" || node === null) return undefined;
    node = (node as Record<PropertyKey, unknown>)[step];
  }
  return node;
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

interface Located {
  readonly issue: Issue;
  readonly path: PropertyKey[];
}

/** The deepest complaint of a union is the useful one: the branch that got furthest. */
function deepest(issue: Issue, path: readonly PropertyKey[]): Located {
  const here = [...path, ...issue.path];
  if (issue.code !== "invalid_union") return { issue, path: here };
  const candidates = issue.errors.flat().map((inner) => deepest(inner, here));
  let best: Located = { issue, path: here };
  for (const candidate of candidates) {
    if (candidate.path.length > best.path.length) best = candidate;
  }
  return best;
}

interface Words {
  readonly message: string;
  readonly remedy: string;
}

function describe(issue: Issue, actual: unknown): Words {
  const got = `got ${show(actual)}`;
  switch (issue.code) {
    case "unrecognized_keys":
      return {
        message: `unknown key ${issue.keys.map((k) => `"${k}"`).join(", ")}`,
        remedy: "Remove it, or correct its spelling; targets/target.schema.json lists every key.",
      };
    case "invalid_type":
      return actual === undefined
        ? {
            message: `expected ${issue.expected}, got nothing`,
            remedy: "Add the missing key; a figure is { value, unit, source }.",
          }
        : { message: `expected ${issue.expected}, ${got}`, remedy: "Correct the value." };
    case "invalid_value":
      return {
        message: `expected one of ${issue.values.map((v) => show(v)).join(", ")}, ${got}`,
        remedy: "Use one of the listed values.",
      };
    case "too_small":
      return {
        message: `expected at least ${String(issue.minimum)}, ${got}`,
        remedy: "Raise the value.",
      };
    case "too_big":
      return {
        message: `expected at most ${String(issue.maximum)}, ${got}`,
        remedy: "Lower the value.",
      };
    default:
      return { message: `${issue.message}`, remedy: `Correct it; ${got} there now.` };
  }
}

/**
 * Checks `json` against `schema` and every figure's source against the file's references.
 * @param place the file, for the message
 * @throws UserError with the JSON path of the first fault, what was expected and what is there
 */
export function parseWith<T extends z.ZodType>(
  schema: T,
  json: unknown,
  place: string,
): z.output<T> {
  const result = schema.safeParse(json);
  if (!result.success) {
    const issues = result.error.issues;
    const first = issues[0] as Issue;
    const { issue, path } = deepest(first, []);
    const { message, remedy } = describe(issue, valueAt(json, path));
    const more = issues.length > 1 ? ` (and ${issues.length - 1} more faults)` : "";
    const where = jsonPath(path);
    throw new UserError(`${message}${more}`, {
      place: where === "" ? place : `${place}: ${where}`,
      remedy,
    });
  }
  checkSources(result.data, place);
  return result.data;
}

function checkSources(data: unknown, place: string): void {
  const references = (data as { references?: Readonly<Record<string, string>> }).references ?? {};
  const fault = unsourced(data, references)[0];
  if (fault === undefined) return;
  const known = [...Object.keys(references), ...SOURCE_WORDS].map((k) => `"${k}: ..."`).join(", ");
  throw new UserError(`the source ${show(fault.source)} names no reference`, {
    place: `${place}: ${jsonPath(fault.path)}`,
    remedy: `Begin it with one of ${known}, or add the reference.`,
  });
}
