/** Command lines that a person can type: what the reports print to make a result again. */
import type { CompileRequest } from "../api/compileModel.ts";

/** A word as a shell takes it: brackets and spaces are its business unless quoted. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The options of a compile request that are not its defaults. */
function compileWords({
  model, target, objective, analog, capacity, figures, bind, out,
}: CompileRequest): string[] {
  const choice = analog === undefined || analog === "auto" ? []
    : typeof analog === "string" ? ["--analog", analog]
      : analog.length === 0 ? ["--analog", "none"] : ["--analog-nodes", analog.join(",")];
  const bound = Object.entries(bind ?? {}).map(([name, size]) => `${name}=${size}`);
  return [
    "compile", model, "--target", target,
    ...Object.entries(figures ?? {}).flatMap(([name, value]) => ["--set", `${name}=${value}`]),
    ...(objective === undefined || objective === "energy" ? [] : ["--objective", objective]),
    ...choice,
    ...(capacity === undefined ? [] : ["--capacity", String(capacity)]),
    ...(bound.length === 0 ? [] : ["--bind", bound.join(",")]),
    ...(out === undefined ? [] : ["-o", out]),
  ];
}

/** The command line that does what a request asks for. */
export const compileCommandLine = (request: CompileRequest): string =>
  `crosstie ${compileWords(request).map(quoted).join(" ")}`;
