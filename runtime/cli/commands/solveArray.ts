/** `crosstie solve-array FILE.json`: one crossbar array with wire resistance, solved exactly. */
import { solveArrayFile, type ArrayReport } from "../../chip/wires/solveArrayFile.ts";
import type { CommandSpec } from "../command.ts";
import { si, table } from "../table.ts";

export const solveArray: CommandSpec = {
  name: "solve-array",
  summary: "Solve one crossbar array with wire resistance.",
  arguments: [{ name: "<file>", description: "array description (JSON)" }],
  example: "crosstie solve-array test/fixtures/crossbar/array-8x6.json --json",
  run: ({ args: [file] }) => solveArrayFile(file as string),
  render({ outputAmpere, iterations, residual, seconds }: ArrayReport) {
    const columns = outputAmpere[0]?.length ?? 0;
    const rows = Array.from({ length: columns }, (_, column) => [
      column,
      ...outputAmpere.map((output) => si(output[column] ?? 0, "A")),
    ]);
    const head = ["column", ...outputAmpere.map((_, k) => `input ${k}`)];
    const solved = `${iterations} iterations, relative residual ${residual.toExponential(1)}`;
    return `${table(head, rows)}\n${solved}, ${si(seconds, "s")}`;
  },
};
