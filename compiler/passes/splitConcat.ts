/**
 * Splits a concatenation of many parts into nested ones, so that one kernel reads few enough
 * buffers for every WebGPU device, or for a given one. The only node with any number of operands
 * is the only one that clustering cannot bring below a limit.
 */
import { isOp, type Value } from "../graph/graph.ts";
import { DEFAULT_MAX_BUFFERS } from "../kernels/program.ts";
import { rewrite, type Pass } from "./rewrite.ts";

/** @param maxBuffers that one kernel may bind, the output included; at least 3 */
export const splitConcatTo = (maxBuffers: number): Pass => ({
  name: "split-concat",
  run: (graph) => rewrite(graph, ({ b, node, inputs }) => {
    const most = maxBuffers - 1;
    if (!isOp(node, "concat") || inputs.length <= most) return undefined;
    const { axis } = node.attrs;
    let parts = inputs;
    while (parts.length > most) {
      // As few groups as possible, of even length.
      const count = Math.ceil(parts.length / most);
      const length = Math.ceil(parts.length / count);
      parts = Array.from({ length: count }, (_, i) =>
        b.concat(parts.slice(i * length, (i + 1) * length), axis));
    }
    return b.concat(parts, axis, (node.outputs[0] as Value).name);
  }),
});

export const splitConcat: Pass = splitConcatTo(DEFAULT_MAX_BUFFERS);
