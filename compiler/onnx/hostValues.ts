/**
 * Elements of values computed on the host while a graph is still being built, for actual inputs:
 * how shapes that depend on data become numbers. Values are kept, so that asking again is free.
 */
import { bindInputs, evaluateNode } from "../graph/evaluate.ts";
import type { Bindings } from "../graph/dim.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";

export class HostValues {
  readonly #inputs: ReadonlyMap<string, Tensor>;
  readonly #done = new Map<Value, Tensor>();
  #bindings: Bindings | undefined;

  constructor(inputs: ReadonlyMap<string, Tensor>) {
    this.#inputs = inputs;
  }

  /** @param inputs all inputs of the graph under construction */
  tensor(v: Value, inputs: readonly Value[]): Tensor {
    this.#bindings ??= this.#bind(inputs);
    const stack = [v];
    while (stack.length > 0) {
      const top = stack.at(-1) as Value;
      const node = top.node as Node;
      const open = this.#done.has(top) ? [] : node.inputs.filter((x) => !this.#done.has(x));
      if (open.length > 0) {
        stack.push(...open);
        continue;
      }
      stack.pop();
      if (this.#done.has(top)) continue;
      const operands = node.inputs.map((x) => this.#done.get(x) as Tensor);
      this.#done.set(top, evaluateNode(node, operands, this.#bindings, "f32"));
    }
    return this.#done.get(v) as Tensor;
  }

  #bind(inputs: readonly Value[]): Bindings {
    const shapes = new Map([...this.#inputs].map(([name, t]) => [name, t.shape]));
    const bindings = bindInputs({ name: "", inputs, outputs: [], nodes: [] }, shapes);
    for (const v of inputs) this.#done.set(v, this.#inputs.get(v.name) as Tensor);
    return bindings;
  }
}
