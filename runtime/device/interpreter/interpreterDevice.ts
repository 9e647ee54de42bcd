/**
 * The `interpreter` device: runs kernels through the oracle reader. Slow, exact to the letter of
 * the kernel IR, and in `f64` mode the float64 reference. Always available.
 */
import {
  interpretKernel,
  type InterpretedKernel,
  type InterpreterArray,
} from "../../../compiler/emit/interpret/interpret.ts";
import { InternalError } from "../../../compiler/errors.ts";
import type { Storage } from "../../../compiler/graph/dtype.ts";
import type { FloatMode } from "../../../compiler/graph/tensor.ts";
import type {
  Command,
  CompiledKernel,
  Device,
  DeviceBuffer,
  DeviceInfo,
  PreparedKernel,
} from "../device.ts";

/** Memory is typed by its first use: floats may be 8 bytes wide here, so one view cannot serve. */
class InterpreterBuffer implements DeviceBuffer {
  readonly length: number;
  #data: InterpreterArray | undefined;
  constructor(length: number) {
    this.length = length;
  }
  as(storage: Storage, float: FloatMode): InterpreterArray {
    const wanted =
      storage === "i32"
        ? Int32Array
        : storage === "u32" || storage === "f16"
          ? Uint32Array
          : float === "f64"
            ? Float64Array
            : Float32Array;
    if (!(this.#data instanceof wanted)) {
      const fresh = new wanted(this.length);
      // A slot reused for another type: its old contents are dead, its new ones come by write.
      this.#data = fresh;
    }
    return this.#data;
  }
  set(data: InterpreterArray): void {
    this.#data = data;
  }
  get data(): InterpreterArray | undefined {
    return this.#data;
  }
}

interface Prepared extends PreparedKernel {
  readonly run: InterpretedKernel;
}

export class InterpreterDevice implements Device {
  readonly info: DeviceInfo;
  readonly float: FloatMode;

  constructor(float: FloatMode = "f32") {
    this.float = float;
    this.info = {
      kind: "interpreter",
      isSoftware: false,
      description: `interpreter (${float === "f64" ? "float64" : "float32"}, 1 thread)`,
    };
  }

  allocate(length: number): DeviceBuffer {
    return new InterpreterBuffer(length);
  }
  free(): void {
    // Nothing to give back: the garbage collector has it.
  }

  write(
    buffer: DeviceBuffer,
    data: Float32Array | Float64Array | Int32Array | Uint32Array,
    offset = 0,
  ): void {
    const target = own(buffer);
    const storage =
      data instanceof Int32Array ? "i32" : data instanceof Uint32Array ? "u32" : "f32";
    target.as(storage, this.float).set(data, offset);
  }

  async read(buffer: DeviceBuffer, length: number): Promise<ArrayBuffer> {
    const data = own(buffer).data ?? new Float32Array(length);
    const narrow = data instanceof Float64Array ? Float32Array.from(data) : data;
    return narrow.slice(0, length).buffer as ArrayBuffer;
  }

  /** Full-width elements: what float64 comparisons read. */
  readWide(buffer: DeviceBuffer, length: number): InterpreterArray {
    return (own(buffer).data ?? new Float64Array(length)).slice(0, length);
  }

  async prepare(kernels: readonly CompiledKernel[]): Promise<PreparedKernel[]> {
    return kernels.map(({ kernel }): Prepared => ({
      kernel,
      run: interpretKernel(kernel, this.float),
    }));
  }

  async run(commands: readonly Command[]): Promise<void> {
    for (const { kernel, buffers, sizes } of commands) {
      const arrays = kernel.kernel.arguments.map((argument, i) =>
        own(buffers[i] as DeviceBuffer).as(argument.storage, this.float),
      );
      (kernel as Prepared).run(arrays, sizes);
    }
  }

  destroy(): void {
    // Holds nothing outside the JavaScript heap.
  }
}

function own(buffer: DeviceBuffer): InterpreterBuffer {
  if (buffer instanceof InterpreterBuffer) return buffer;
  throw new InternalError("a buffer of another device was given to the interpreter");
}
