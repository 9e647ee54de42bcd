/**
 * Runs a program on a device: binds symbolic sizes from the inputs, allocates the memory plan,
 * uploads constants once, and issues one batch of commands per run. Knows nothing of ONNX.
 *
 * Inputs and outputs may stay on the device between runs (`DeviceBuffer` in, `DeviceBuffer` out),
 * so a relaxation runs its sweeps without a round trip.
 */
import { InternalError, UserError } from "../../compiler/errors.ts";
import { bindDim, evalDim, evalShape, type Dim } from "../../compiler/graph/dim.ts";
import { halfBuffers, type Program, type ProgramBuffer } from "../../compiler/kernels/program.ts";
import { dtypeFacts, isInteger, type DType } from "../../compiler/graph/dtype.ts";
import { sizeOf, type Tensor } from "../../compiler/graph/tensor.ts";
import { InterpreterDevice } from "../device/interpreter/interpreterDevice.ts";
import type {
  Command,
  CompiledKernel,
  Device,
  DeviceBuffer,
  PreparedKernel,
} from "../device/device.ts";
import {
  fromDeviceWords, fromHalfWords, toDeviceArray, toHalfWords, type DeviceArray,
} from "./tensors.ts";

export interface SessionOptions {
  /** Emitted WGSL per kernel, where an artifact carries it. */
  readonly wgsl?: readonly (string | undefined)[];
  /** Emitted WASM module for the program's kernels. */
  readonly wasm?: Uint8Array;
}

/** One prepared run: its commands may be issued in parts, with other work between them. */
export interface Run {
  /** Memory and shape of a program buffer. */
  tensorOf(buffer: number): DeviceTensor;
  /** Issues dispatches [from, to). */
  execute(from?: number, to?: number): Promise<void>;
  outputs(): Map<string, DeviceTensor>;
}

/** A tensor on a device: its memory and the shape it has there. */
export interface DeviceTensor {
  readonly buffer: DeviceBuffer;
  readonly shape: readonly number[];
}
export type Feed = Tensor | DeviceTensor;
const isOnDevice = (feed: Feed): feed is DeviceTensor => "buffer" in feed;

interface Binding {
  readonly sizes: Readonly<Record<string, number>>;
  /** Memory of every program buffer. */
  readonly buffers: readonly DeviceBuffer[];
  readonly owned: readonly DeviceBuffer[];
}

export class Session {
  readonly device: Device;
  readonly program: Program;
  readonly #kernels: readonly PreparedKernel[];
  readonly #constants = new Map<number, DeviceBuffer>();
  readonly #halves: ReadonlySet<number>;
  /** The latest binding is kept: the common case is the same batch size again. */
  #binding: Binding | undefined;

  private constructor(device: Device, program: Program, kernels: readonly PreparedKernel[]) {
    this.device = device;
    this.program = program;
    this.#kernels = kernels;
    this.#halves = halfBuffers(program);
    for (const { buffer, tensor } of program.constants) {
      const { name } = program.buffers[buffer] as ProgramBuffer;
      const memory = this.#halves.has(buffer)
        ? this.#uploadWords(toHalfWords(tensor))
        : this.#upload(tensor, name);
      this.#constants.set(buffer, memory);
    }
  }

  static async create(
    device: Device,
    program: Program,
    options: SessionOptions = {},
  ): Promise<Session> {
    const compiled = program.kernels.map((kernel, i): CompiledKernel => {
      const wgsl = options.wgsl?.[i];
      return wgsl === undefined ? { kernel } : { kernel, wgsl };
    });
    return new Session(device, program, await device.prepare(compiled, options.wasm));
  }

  #upload(tensor: Tensor, name: string, into?: DeviceBuffer): DeviceBuffer {
    const wide = this.device instanceof InterpreterDevice && this.device.float === "f64";
    return this.#uploadWords(toDeviceArray(tensor, name, wide) as DeviceArray, into);
  }

  #uploadWords(data: DeviceArray, into?: DeviceBuffer): DeviceBuffer {
    const buffer = into ?? this.device.allocate(data.length);
    this.device.write(buffer, data);
    return buffer;
  }

  /** Replaces a constant's contents: weights as programmed on a chip, or after a training step. */
  setConstant(name: string, tensor: Tensor): void {
    for (const [index, buffer] of this.#constants) {
      const declared = this.program.buffers[index] as ProgramBuffer;
      if (declared.name !== name) continue;
      if (this.#halves.has(index)) throw new InternalError(`constant ${name} holds halves`);
      if (sizeOf(tensor.shape) !== buffer.length) {
        throw new InternalError(`constant ${name} holds ${buffer.length} elements`);
      }
      // Kernels were made for the range of these (`compiler/kernels/lower.ts`).
      if (isInteger(declared.dtype) && dtypeFacts[declared.dtype].bits >= 32) {
        throw new InternalError(`constant ${name} holds ${declared.dtype}`);
      }
      this.#upload(tensor, name, buffer);
      return;
    }
    throw new InternalError(`the program has no constant ${name}`);
  }

  /** Symbol values from the shapes of the inputs. */
  #sizes(feeds: ReadonlyMap<string, Feed>): Record<string, number> {
    const sizes: Record<string, number> = {};
    const declared = this.program.inputs.map(({ name, buffer }) => {
      const feed = feeds.get(name);
      const shape = (this.program.buffers[buffer] as ProgramBuffer).shape;
      if (!feed) {
        throw new UserError(`No value was given for the input "${name}"`, {
          place: `input ${name}`,
          remedy: `give it an array of shape [${shape.map(String)}]`,
        });
      }
      return { name, shape, actual: feed.shape };
    });
    for (const { shape, actual } of declared) {
      shape.forEach((d, i) => {
        if (typeof d === "number" || d.terms.size !== 1) return;
        const [key, c] = [...d.terms][0] as [string, number];
        if (c === 1 && !key.includes("*")) sizes[key] ??= actual[i] ?? 0;
      });
    }
    for (const { name, shape, actual } of declared) {
      const bound = shape.map((d: Dim) => bindDim(d, sizes));
      if (bound.length !== actual.length || bound.some((d, i) => d !== actual[i])) {
        throw new UserError(`Expected shape [${shape.map(String)}], got [${actual}]`, {
          place: `input ${name}`,
          remedy: "give an array of the expected shape",
        });
      }
    }
    return sizes;
  }

  #bind(sizes: Record<string, number>): Binding {
    const old = this.#binding;
    if (old && this.program.symbols.every((s) => old.sizes[s] === sizes[s])) return old;
    old?.owned.forEach((b) => this.device.free(b));
    const { memory } = this.program;
    const owned: DeviceBuffer[] = [];
    const allocate = (length: number): DeviceBuffer => {
      const buffer = this.device.allocate(length);
      owned.push(buffer);
      return buffer;
    };
    const slots = memory.slots.map((size) => allocate(evalDim(size, sizes)));
    const buffers = this.program.buffers.map(({ role, slot, shape }, i) =>
      role === "constant"
        ? (this.#constants.get(i) as DeviceBuffer)
        : role === "slot"
          ? (slots[slot as number] as DeviceBuffer)
          : allocate(sizeOf(evalShape(shape, sizes))),
    );
    this.#binding = { sizes, buffers, owned };
    return this.#binding;
  }

  /**
   * Prepares one run. Inputs already on the device are used in place; outputs named in `into` are
   * written to the given memory, which must not be an input of the same run.
   */
  begin(
    feeds: ReadonlyMap<string, Feed>,
    into: ReadonlyMap<string, DeviceBuffer> = new Map(),
  ): Run {
    const sizes = this.#sizes(feeds);
    const binding = this.#bind(sizes);
    const buffers = [...binding.buffers];
    for (const { name, buffer } of this.program.inputs) {
      const feed = feeds.get(name) as Feed;
      if (isOnDevice(feed)) buffers[buffer] = feed.buffer;
      else this.#upload(feed, name, buffers[buffer]);
    }
    for (const { name, buffer } of this.program.outputs) {
      const target = into.get(name);
      if (target) buffers[buffer] = target;
    }
    const commands = this.program.dispatches.map((d): Command => {
      const kernel = this.#kernels[d.kernel] as PreparedKernel;
      return {
        kernel,
        buffers: d.buffers.map((b) => buffers[b] as DeviceBuffer),
        sizes: kernel.kernel.symbols.map((s) => sizes[s] as number),
      };
    });
    const tensorOf = (index: number): DeviceTensor => {
      const { shape } = this.program.buffers[index] as ProgramBuffer;
      return { buffer: buffers[index] as DeviceBuffer, shape: evalShape(shape, sizes) };
    };
    return {
      tensorOf,
      execute: (from = 0, to = commands.length) => this.device.run(commands.slice(from, to)),
      outputs: () => new Map(this.program.outputs.map((o) => [o.name, tensorOf(o.buffer)])),
    };
  }

  /**
   * Runs once and leaves the outputs on the device: valid until the next run with other sizes.
   */
  async dispatch(
    feeds: ReadonlyMap<string, Feed>,
    into: ReadonlyMap<string, DeviceBuffer> = new Map(),
  ): Promise<Map<string, DeviceTensor>> {
    const run = this.begin(feeds, into);
    await run.execute();
    return run.outputs();
  }

  /** Runs once and reads every output back. */
  async run(feeds: ReadonlyMap<string, Feed>): Promise<Map<string, Tensor>> {
    return this.readAll(await this.dispatch(feeds));
  }

  /** Copies the program's outputs to the host. */
  async readAll(held: ReadonlyMap<string, DeviceTensor>): Promise<Map<string, Tensor>> {
    const results = new Map<string, Tensor>();
    for (const { name, buffer } of this.program.outputs) {
      const { dtype } = this.program.buffers[buffer] as ProgramBuffer;
      const on = held.get(name) as DeviceTensor;
      results.set(name, await (this.#halves.has(buffer)
        ? this.#readHalves(on) : this.readTensor(on, dtype)));
    }
    return results;
  }

  async #readHalves({ buffer, shape }: DeviceTensor): Promise<Tensor> {
    return fromHalfWords(shape, await this.device.read(buffer, buffer.length));
  }

  /** Copies one tensor to the host. */
  async readTensor({ buffer: memory, shape }: DeviceTensor, dtype: DType): Promise<Tensor> {
    const count = sizeOf(shape);
    if (this.device instanceof InterpreterDevice && this.device.float === "f64") {
      return { dtype, shape, data: this.device.readWide(memory, count), splat: false };
    }
    return fromDeviceWords(dtype, shape, await this.device.read(memory, count));
  }

  /** Frees the memory that this session allocated; the device stays. */
  release(): void {
    this.#binding?.owned.forEach((b) => this.device.free(b));
    this.#constants.forEach((b) => this.device.free(b));
    this.#binding = undefined;
    this.#constants.clear();
  }
}
