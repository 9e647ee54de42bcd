/**
 * WGSL functions that emitted code calls where the language's own are not good enough: they may
 * ignore NaN (`max`), overflow (`tanh`), be undefined on half the line (`pow`), be off by thousands
 * of units in the last place (`atan`, `asin`), or not exist (`erf`); what the language promises is
 * in https://www.w3.org/TR/WGSL/#floating-point-accuracy. A module carries only those it calls.
 */
import { angles } from "./angleFunctions.ts";
import { integers, special } from "./exactFunctions.ts";
import { exponentials } from "./exponentialFunctions.ts";

const library = { ...special, ...integers, ...exponentials, ...angles } as const;
export type FunctionName = keyof typeof library;
export const functionNames = Object.keys(library) as readonly FunctionName[];

/** Sources of the functions called and of those they call, each before its callers. */
export function sourcesOf(called: Iterable<FunctionName>): string[] {
  const needed = new Set<string>();
  const visit = (name: FunctionName): void => {
    if (needed.has(name)) return;
    needed.add(name);
    for (const other of library[name].needs) visit(other as FunctionName);
  };
  for (const name of called) visit(name);
  return functionNames.filter((name) => needed.has(name)).map((name) => library[name].source);
}
