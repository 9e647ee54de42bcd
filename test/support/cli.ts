/** Runs the command line in this process and captures what it writes. */
import { vi } from "vitest";
import { commands } from "../../runtime/cli/commands/index.ts";
import { runProgram } from "../../runtime/cli/program.ts";

export interface Captured {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function crosstie(...words: readonly string[]): Promise<Captured> {
  let [stdout, stderr] = ["", ""];
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  try {
    const { code } = await runProgram(commands, "test", words);
    return { code, stdout, stderr };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}
