/** Runs a model with crosstie: compiled for the inputs at hand, on the WASM device. */
import { optimise } from "../../../compiler/compile.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import type { Model } from "../../../compiler/onnx/model.ts";
import { specialise } from "../../../compiler/onnx/specialise.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";

export interface Ours {
  readonly graph: Graph;
  /** Milliseconds from the decoded model to a session that is ready. */
  readonly compileMs: number;
  run(inputs: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>;
  release(): void;
}

export async function openOurs(
  model: Model, inputs: ReadonlyMap<string, Tensor>,
): Promise<Ours> {
  const start = performance.now();
  const graph = optimise(specialise(model, inputs).graph);
  const device = await openWasmDevice();
  const session = await Session.create(device, buildProgram(graph));
  return {
    graph,
    compileMs: performance.now() - start,
    run: (feeds) => session.run(feeds),
    release: () => device.destroy(),
  };
}
