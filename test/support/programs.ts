/**
 * Programs of the machine that some tests compare with or run in: found on PATH once per process.
 * A test asks with `describeNeeding(needProgram("ngspice"), ...)` and gets the path; where the
 * program is missing the test is reported as not run.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Need } from "./notRun.ts";

/** The line that brings every adapter and program that tests can use. */
export const installLine = "bash .ci/install-adapters   # Debian, as root";

const programs = {
  chromium: { what: "Chromium", commands: ["chromium", "chromium-browser", "google-chrome"] },
  ngspice: { what: "ngspice", commands: ["ngspice"] },
  python: { what: "Python 3", commands: ["python3"] },
} as const;

export function needProgram(name: keyof typeof programs): Need<string> {
  const { what, commands } = programs[name];
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const command of commands) {
    const found = folders.map((folder) => join(folder, command)).find(isExecutable);
    if (found !== undefined) return { value: found };
  }
  const reason = `none of ${commands.join(", ")} is on PATH`;
  return { missing: { what, reason, install: installLine } };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
