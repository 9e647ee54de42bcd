/** Command lines that a person can type: what the reports print to make a result again. */
import type { CompileRequest } from "../api/compileModel.ts";
import type { Capacity } from "../partition/capacity.ts";

/** A word as a shell takes it: brackets and spaces are its business unless quoted. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

const capacityText = (capacity: Capacity): string =>
  (typeof capacity !== "object" ? String(capacity)
    : Object.entries(capacity).map(([target, arrays]) => `${target}=${arrays}`).join(","));

/** The options of a compile request that are not its defaults. */
function compileWords({
  model, target, objective, analog, capacity, replicas, figures, bind, out,
}: CompileRequest): string[] {
  const choice = analog === undefined || analog === "auto" ? []
    : typeof analog === "string" ? ["--analog", analog]
      : analog.length === 0 ? ["--analog", "none"] : ["--analog-nodes", analog.join(",")];
  const copies = Object.entries(replicas?.exactly ?? {}).map(([name, n]) => `${name}=${n}`);
  const bound = Object.entries(bind ?? {}).map(([name, size]) => `${name}=${size}`);
  return [
    "compile", model, "--target", target,
    ...Object.entries(figures ?? {}).flatMap(([name, value]) => ["--set", `${name}=${value}`]),
    ...(objective === undefined || objective === "energy" ? [] : ["--objective", objective]),
    ...choice,
    ...(capacity === undefined ? [] : ["--capacity", capacityText(capacity)]),
    ...(replicas?.most === undefined ? [] : ["--replicas", String(replicas.most)]),
    ...(copies.length === 0 ? [] : ["--replicate", copies.join(",")]),
    ...(bound.length === 0 ? [] : ["--bind", bound.join(",")]),
    ...(out === undefined ? [] : ["-o", out]),
  ];
}

/** The command line that does what a request asks for. */
export const compileCommandLine = (request: CompileRequest): string =>
  `crosstie ${compileWords(request).map(quoted).join(" ")}`;
