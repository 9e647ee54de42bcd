/** split-concat: no concatenation reads more parts than one kernel may bind. */
import { expect, it } from "vitest";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { buildProgram, DEFAULT_MAX_BUFFERS } from "../../../compiler/kernels/program.ts";
import { splitConcat } from "../../../compiler/passes/splitConcat.ts";
import { after } from "../../support/passes.ts";

const concat = (n: number): string => {
  const parts = Array.from({ length: n }, (_, i) => `%x${i}`);
  return `${parts.map((x, i) => `input ${x}: float32[N,${(i % 3) + 1}]`).join("\n")}
    %y = concat ${parts.join(", ")} {axis = 1} from "/cat"
    output y = %y`;
};

it("leaves seven parts as they are", () => {
  expect(after(splitConcat, concat(7))).toContain("concat %x0, %x1, %x2, %x3, %x4, %x5, %x6 {");
});

it("groups more of them evenly", () => {
  const lines = after(splitConcat, concat(9)).split("\n").filter((line) => line.includes("concat"));
  expect(lines.map((line) => line.replace(/:.*/, ""))).toEqual([
    "%/cat.concat = concat %x0, %x1, %x2, %x3, %x4 {axis = 1}",
    "%/cat.concat_1 = concat %x5, %x6, %x7, %x8 {axis = 1}",
    "%y = concat %/cat.concat, %/cat.concat_1 {axis = 1}",
  ]);
});

it("keeps every kernel within the buffers of every WebGPU device, for any number of parts", () => {
  for (const n of [8, 15, 49, 50, 120]) {
    after(splitConcat, concat(n));
    const graph = splitConcat.run(parseGraph(`graph g { ${concat(n)} }`));
    for (const kernel of buildProgram(graph).kernels) {
      expect(kernel.arguments.length).toBeLessThanOrEqual(DEFAULT_MAX_BUFFERS);
    }
  }
});
