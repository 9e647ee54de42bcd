/**
 * Splits a concatenation of many parts into nested ones, so that one kernel reads few enough
 * buffers for every WebGPU device. The only node with any number of operands is the only one that
 * clustering cannot bring below a limit.
 */
import { isOp, type Value } from "../graph/graph.ts";
import { DEFAULT_MAX_BUFFERS } from "../kernels/program.ts";
import { rewrite, type Pass } from "./rewrite.ts";

/** One buffer is the output. */
const MAX_PARTS = DEFAULT_MAX_BUFFERS - 1;

export const splitConcat: Pass = {
  name: "split-concat",
  run: (graph) => rewrite(graph, ({ b, node, inputs }) => {
    if (!isOp(node, "concat") || inputs.length <= MAX_PARTS) return undefined;
    const { axis } = node.attrs;
    let parts = inputs;
    while (parts.length > MAX_PARTS) {
      // As few groups as possible, of even length.
      const count = Math.ceil(parts.length / MAX_PARTS);
      const length = Math.ceil(parts.length / count);
      parts = Array.from({ length: count }, (_, i) =>
        b.concat(parts.slice(i * length, (i + 1) * length), axis));
    }
    return b.concat(parts, axis, (node.outputs[0] as Value).name);
  }),
};
