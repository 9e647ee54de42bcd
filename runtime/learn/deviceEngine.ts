/**
 * Learning on a device: graphs become kernels once, tensors stay in device memory, and a run issues
 * one list of commands that is made once per set of buffers. A relaxation therefore costs two
 * command lists, however many sweeps it takes, and reads back one number.
 *
 * Scratch memory is shared by all graphs of an engine, because they never run at the same time.
 */
import { optimise } from "../../compiler/compile.ts";
import { InternalError } from "../../compiler/errors.ts";
import { bindDim, evalDim, evalShape, isStatic, type Bindings } from "../../compiler/graph/dim.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import type { Graph, Value } from "../../compiler/graph/graph.ts";
import { sizeOf, type Tensor } from "../../compiler/graph/tensor.ts";
import { inlineGraph } from "../../compiler/energy/inline.ts";
import {
  buildProgram, halfBuffers, type Program, type ProgramBuffer,
} from "../../compiler/kernels/program.ts";
import { InterpreterDevice } from "../device/interpreter/interpreterDevice.ts";
import type { Command, Device, DeviceBuffer, PreparedKernel } from "../device/device.ts";
import {
  fromDeviceWords, toDeviceArray, toHalfWords, type DeviceArray,
} from "../execute/tensors.ts";
import type { Engine, Held, HeldMap, Prepared } from "./engine.ts";

interface DeviceHeld extends Held {
  readonly buffer: DeviceBuffer;
}
const bufferOf = (held: Held): DeviceBuffer => (held as DeviceHeld).buffer;

/** A run of one graph with particular buffers. */
interface Bound {
  readonly inputs: readonly DeviceBuffer[];
  readonly outputs: readonly DeviceBuffer[];
  readonly sizes: Bindings;
  readonly generation: number;
  readonly commands: readonly Command[];
}

/** Relaxations alternate between two sets of buffers; a few more serve training loops. */
const boundKept = 8;

/**
 * Outputs that are inputs, constants or each other become copies, so that every output has memory
 * of its own.
 */
function withOwnOutputs(graph: Graph): Graph {
  const seen = new Set<Value>();
  const isOwn = ({ value }: { readonly value: Value }): boolean => {
    const own = value.node !== undefined && value.node.op !== "constant" && !seen.has(value);
    seen.add(value);
    return own;
  };
  if (graph.outputs.every(isOwn)) return graph;
  const b = new Builder(graph.name);
  const inputs = new Map(graph.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  const values = inlineGraph(b, graph, inputs);
  const taken = new Set<Value>();
  return b.finish(graph.outputs.map(({ name }) => {
    let value = values.get(name) as Value;
    while (!value.node || value.node.op === "constant" || taken.has(value)) {
      value = b.mul(value, b.full(value, 1));
    }
    taken.add(value);
    return { name, value };
  }));
}

class DeviceEngine implements Engine {
  readonly description: string;
  readonly float: "f32" | "f64";
  readonly device: Device;
  /** Freed tensors by number of elements: training asks for the same sizes again and again. */
  readonly #spare = new Map<number, DeviceBuffer[]>();
  readonly #scratch: DeviceBuffer[] = [];
  /** Counts replacements of scratch buffers: command lists made before are void. */
  generation = 0;

  constructor(device: Device) {
    this.device = device;
    this.description = device.info.description;
    this.float = device instanceof InterpreterDevice ? device.float : "f32";
  }

  allocate(shape: readonly number[]): DeviceHeld {
    const length = Math.max(sizeOf(shape), 1);
    return { shape, buffer: this.#spare.get(length)?.pop() ?? this.device.allocate(length) };
  }

  /** Scratch buffer `index`, at least `length` elements long. */
  scratch(index: number, length: number): DeviceBuffer {
    const known = this.#scratch[index];
    if (known && known.length >= length) return known;
    if (known) this.device.free(known);
    this.generation++;
    const made = this.device.allocate(length);
    this.#scratch[index] = made;
    return made;
  }

  hold(tensor: Tensor): Held {
    const held = this.allocate(tensor.shape);
    this.#write(held.buffer, tensor);
    return held;
  }

  #write(buffer: DeviceBuffer, tensor: Tensor): void {
    const data = toDeviceArray(tensor, "tensor", this.float === "f64");
    this.device.write(buffer, data as DeviceArray);
  }

  async read(held: Held): Promise<Tensor> {
    const { shape } = held;
    const count = sizeOf(shape);
    if (this.device instanceof InterpreterDevice && this.float === "f64") {
      const data = this.device.readWide(bufferOf(held), count);
      return { dtype: "float32", shape, data, splat: false };
    }
    return fromDeviceWords("float32", shape, await this.device.read(bufferOf(held), count));
  }

  release(held: Held): void {
    const buffer = bufferOf(held);
    const spare = this.#spare.get(buffer.length) ?? [];
    if (spare.includes(buffer)) throw new InternalError("a tensor was released twice");
    this.#spare.set(buffer.length, [...spare, buffer]);
  }

  async prepare(graph: Graph): Promise<Prepared> {
    const program = buildProgram(withOwnOutputs(optimise(graph)));
    const kernels = await this.device.prepare(program.kernels.map((kernel) => ({ kernel })));
    const halves = halfBuffers(program);
    const constants = new Map(program.constants.map(({ buffer, tensor }) => {
      if (halves.has(buffer)) {
        const words = toHalfWords(tensor);
        const held = this.device.allocate(words.length);
        this.device.write(held, words);
        return [buffer, held] as const;
      }
      const memory = this.device.allocate(Math.max(sizeOf(tensor.shape), 1));
      this.#write(memory, tensor);
      return [buffer, memory] as const;
    }));
    return new DevicePrepared(this, graph, program, kernels, constants);
  }
}

class DevicePrepared implements Prepared {
  readonly graph: Graph;
  readonly #engine: DeviceEngine;
  readonly #program: Program;
  readonly #kernels: readonly PreparedKernel[];
  readonly #constants: ReadonlyMap<number, DeviceBuffer>;
  readonly #bound: Bound[] = [];

  constructor(
    engine: DeviceEngine, graph: Graph, program: Program, kernels: readonly PreparedKernel[],
    constants: ReadonlyMap<number, DeviceBuffer>,
  ) {
    this.graph = graph;
    this.#engine = engine;
    this.#program = program;
    this.#kernels = kernels;
    this.#constants = constants;
  }

  async run(inputs: HeldMap, into: HeldMap = new Map()): Promise<Map<string, Held>> {
    const { program } = { program: this.#program };
    const given = program.inputs.map(({ name }) => {
      const held = inputs.get(name);
      if (!held) throw new InternalError(`${this.graph.name} was run without ${name}`);
      return held;
    });
    const sizes = this.#sizes(given);
    const outputs = program.outputs.map(({ name, buffer }) => into.get(name) ??
      this.#engine.allocate(evalShape((program.buffers[buffer] as ProgramBuffer).shape, sizes)));
    const commands = this.#commands(given.map(bufferOf), outputs.map(bufferOf), sizes);
    await this.#engine.device.run(commands);
    return new Map(program.outputs.map(({ name }, i) => [name, outputs[i] as Held]));
  }

  /** Values of symbols from the shapes of the inputs. */
  #sizes(given: readonly Held[]): Record<string, number> {
    const sizes: Record<string, number> = {};
    const declared = this.#program.inputs.map(({ buffer }) =>
      (this.#program.buffers[buffer] as ProgramBuffer).shape);
    declared.forEach((shape, i) => shape.forEach((d, axis) => {
      if (typeof d === "number" || d.terms.size !== 1) return;
      const [key, c] = [...d.terms][0] as [string, number];
      if (c === 1 && !key.includes("*")) sizes[key] ??= (given[i] as Held).shape[axis] ?? 0;
    }));
    declared.forEach((shape, i) => {
      const bound = shape.map((d) => bindDim(d, sizes));
      const actual = (given[i] as Held).shape;
      if (isStatic(bound) && bound.length === actual.length &&
        bound.every((d, axis) => d === actual[axis])) return;
      throw new InternalError(`${this.graph.name}: ${this.#program.inputs[i]?.name} has shape ` +
        `[${actual}], expected [${shape.map(String)}]`);
    });
    return sizes;
  }

  #commands(
    inputs: readonly DeviceBuffer[], outputs: readonly DeviceBuffer[], sizes: Bindings,
  ): readonly Command[] {
    const { generation } = this.#engine;
    const same = (x: readonly DeviceBuffer[], y: readonly DeviceBuffer[]): boolean =>
      x.every((buffer, i) => buffer === y[i]);
    const known = this.#bound.find((bound) => bound.generation === generation &&
      same(bound.inputs, inputs) && same(bound.outputs, outputs) &&
      this.#program.symbols.every((s) => bound.sizes[s] === sizes[s]));
    if (known) return known.commands;
    const commands = this.#bind(inputs, outputs, sizes);
    this.#bound.unshift(
      { inputs, outputs, sizes, generation: this.#engine.generation, commands });
    this.#bound.length = Math.min(this.#bound.length, boundKept);
    return commands;
  }

  #bind(
    inputs: readonly DeviceBuffer[], outputs: readonly DeviceBuffer[], sizes: Bindings,
  ): Command[] {
    const { memory, dispatches, buffers } = this.#program;
    const slots = memory.slots.map((size, i) => this.#engine.scratch(i, evalDim(size, sizes)));
    const memoryOf = buffers.map((declared: ProgramBuffer, i): DeviceBuffer | undefined =>
      (declared.role === "slot" ? slots[declared.slot as number] : this.#constants.get(i)));
    this.#program.inputs.forEach(({ buffer }, i) => void (memoryOf[buffer] = inputs[i]));
    this.#program.outputs.forEach(({ buffer }, i) => void (memoryOf[buffer] = outputs[i]));
    return dispatches.map(({ kernel, buffers: used }): Command => {
      const prepared = this.#kernels[kernel] as PreparedKernel;
      return {
        kernel: prepared,
        buffers: used.map((b) => memoryOf[b] as DeviceBuffer),
        sizes: prepared.kernel.symbols.map((s) => sizes[s] as number),
      };
    });
  }
}

/** An engine on a device, which stays the caller's to destroy. */
export const deviceEngine = (device: Device): Engine => new DeviceEngine(device);
