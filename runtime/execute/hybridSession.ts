/**
 * Runs a hybrid program: digital segments as kernels, analog blocks either as their digital twins
 * (`--chip none`) or through a chip. The chip is an interface here; what it simulates is its own.
 */
import { InternalError } from "../../compiler/errors.ts";
import type { Program, ProgramBuffer } from "../../compiler/kernels/program.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import type { DeviceBuffer } from "../device/device.ts";
import type { DeviceTensor, Feed, Session } from "./session.ts";

/** What executes analog blocks. Inputs and output stay on the session's device. */
export interface ChipBlocks {
  /**
   * Runs block `id` once.
   * @param inputs the block's inputs, by value name
   * @param output memory of the block's result
   * @param twin computes the block digitally into `output`, for those who compare
   */
  run(
    id: string, inputs: ReadonlyMap<string, DeviceTensor>, output: DeviceBuffer,
    twin: () => Promise<void>,
  ): Promise<void>;
}

/** Where an analog block stands among the program's dispatches (one kernel is its digital twin). */
export interface BlockPosition {
  readonly id: string;
  readonly dispatch: number;
}

export class HybridSession {
  readonly session: Session;
  readonly #blocks: readonly BlockPosition[];

  /** @param blocks in order of dispatch */
  constructor(session: Session, blocks: readonly BlockPosition[]) {
    this.session = session;
    this.#blocks = blocks;
  }

  get program(): Program {
    return this.session.program;
  }

  /** Runs once; without a chip every block is its digital twin. */
  async run(feeds: ReadonlyMap<string, Feed>, chip?: ChipBlocks): Promise<Map<string, Tensor>> {
    const run = this.session.begin(feeds);
    let next = 0;
    for (const { id, dispatch } of chip ? this.#blocks : []) {
      await run.execute(next, dispatch);
      const { inputs, output } = this.#signature(dispatch);
      const held = new Map(
        inputs.map((i) => [(this.program.buffers[i] as ProgramBuffer).name, run.tensorOf(i)]),
      );
      const twin = (): Promise<void> => run.execute(dispatch, dispatch + 1);
      await (chip as ChipBlocks).run(id, held, run.tensorOf(output).buffer, twin);
      next = dispatch + 1;
    }
    await run.execute(next);
    return this.session.readAll(run.outputs());
  }

  /** Buffers that a dispatch reads (constants left out) and the one that it writes. */
  #signature(dispatch: number): { inputs: number[]; output: number } {
    const { kernel, buffers } = this.program.dispatches[dispatch] ?? { kernel: -1, buffers: [] };
    const declared = this.program.kernels[kernel]?.arguments ?? [];
    const output = buffers.find((_, i) => declared[i]?.access === "write");
    if (output === undefined) throw new InternalError(`dispatch ${dispatch} writes nothing`);
    const inputs = buffers.filter(
      (b, i) => declared[i]?.access === "read" && this.program.buffers[b]?.role !== "constant",
    );
    return { inputs, output };
  }
}
