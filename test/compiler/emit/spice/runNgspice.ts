/** Runs ngspice in batch mode on a netlist and reads the printed currents `i(NAME) = VALUE`. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function runNgspice(program: string, netlist: string): Map<string, number> {
  const folder = mkdtempSync(join(tmpdir(), "crosstie-ngspice-"));
  try {
    const file = join(folder, "array.cir");
    writeFileSync(file, netlist);
    const text = execFileSync(program, ["-b", file], { encoding: "utf8", stdio: "pipe" });
    const found = text.matchAll(/^i\((\w+)\) = (\S+)$/gm);
    return new Map(Array.from(found, ([, name, value]) => [name!, Number(value)]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
