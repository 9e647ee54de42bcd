/**
 * Programs as JSON: the part of `plan.json` that a device executes. Constants are named, their
 * tensors are kept outside; sizes are text. Reading checks that the parts fit together: indices,
 * storage classes, sizes of buffers and slots.
 */
import { z } from "zod";
import { UserError } from "../errors.ts";
import { dimAtLeast, dimsEqual, dimToString, productOf, type Dim } from "../graph/dim.ts";
import { dtypes, storageOf } from "../graph/dtype.ts";
import type { Tensor } from "../graph/tensor.ts";
import { parseSize } from "../graph/text.ts";
import { kernelSchema, kernelToJson } from "./kernelJson.ts";
import { kernelFromJson } from "./kernelReader.ts";
import type { Kernel } from "./kernel.ts";
import type { Program, ProgramBuffer } from "./program.ts";

const index = z.number().int().min(0);
const size = z.string();
const ends = z.array(z.strictObject({ name: z.string(), buffer: index }));

export const programSchema = z.strictObject({
  name: z.string(),
  symbols: z.array(z.string()),
  /** A buffer of role `constant` holds the tensor of its name. */
  buffers: z.array(z.strictObject({
    name: z.string(), dtype: z.enum(dtypes), shape: z.array(size),
    role: z.enum(["input", "constant", "slot", "output"]), slot: index.optional(),
  })),
  kernels: z.array(kernelSchema),
  dispatches: z.array(z.strictObject({ kernel: index, buffers: z.array(index) })),
  inputs: ends,
  outputs: ends,
  memory: z.strictObject({
    slots: z.array(size), slotOf: z.array(index), unshared: size, planned: size, lowerBound: size,
  }),
});
export type ProgramJson = z.output<typeof programSchema>;

export function programToJson(program: Program): ProgramJson {
  const { name, memory } = program;
  return {
    name, symbols: [...program.symbols],
    buffers: program.buffers.map((b) => ({ ...b, shape: b.shape.map(dimToString) })),
    kernels: program.kernels.map(kernelToJson),
    dispatches: program.dispatches.map((d) => ({ kernel: d.kernel, buffers: [...d.buffers] })),
    inputs: program.inputs.map((end) => ({ ...end })),
    outputs: program.outputs.map((end) => ({ ...end })),
    memory: {
      slots: memory.slots.map(dimToString), slotOf: [...memory.slotOf],
      unshared: dimToString(memory.unshared), planned: dimToString(memory.planned),
      lowerBound: dimToString(memory.lowerBound),
    },
  };
}

/**
 * The program that `programToJson` wrote.
 * @param tensors contents of the constants, by buffer name
 * @param place the file, for messages
 * @throws UserError naming the part that is missing or does not fit
 */
export function programFromJson(
  json: ProgramJson, tensors: ReadonlyMap<string, Tensor>, place: string,
): Program {
  const fail = (at: string, message: string): never => {
    throw new UserError(message, {
      place: `${place}: ${at}`, remedy: "Compile the model again, or undo the edit",
    });
  };
  const sizeAt = (text: string, at: string): Dim => parseSize(text, `${place}: ${at}`);
  const memory = {
    slots: json.memory.slots.map((s, i) => sizeAt(s, `memory.slots[${i}]`)),
    slotOf: json.memory.slotOf,
    unshared: sizeAt(json.memory.unshared, "memory.unshared"),
    planned: sizeAt(json.memory.planned, "memory.planned"),
    lowerBound: sizeAt(json.memory.lowerBound, "memory.lowerBound"),
  };
  const lost = memory.slotOf.find((slot) => slot >= memory.slots.length);
  if (lost !== undefined) fail("memory.slotOf", `there is no slot ${lost}`);
  const buffers = json.buffers.map((b, i): ProgramBuffer => {
    const shape = b.shape.map((d) => sizeAt(d, `buffers[${i}].shape`));
    const { name, dtype, role, slot } = b;
    if ((role === "slot") !== (slot !== undefined)) {
      fail(`buffers[${i}]`, "a slot is named exactly where the role is slot");
    }
    if (slot === undefined) return { name, dtype, shape, role };
    const held = memory.slots[slot] ?? fail(`buffers[${i}].slot`, `there is no slot ${slot}`);
    if (!dimAtLeast(held, productOf(shape))) {
      fail(`buffers[${i}].slot`, `slot ${slot} of ${dimToString(held)} elements is too small`);
    }
    return { name, dtype, shape, role, slot };
  });
  const bufferAt = (i: number, at: string): ProgramBuffer =>
    buffers[i] ?? fail(at, `there is no buffer ${i}`);
  const kernels = json.kernels.map((k, i) => kernelFromJson(k, `${place}: kernels[${i}]`));
  if (new Set(kernels.map((k) => k.name)).size < kernels.length) {
    fail("kernels", "two of them have one name");
  }
  json.dispatches.forEach((d, i) => {
    const at = `dispatches[${i}]`;
    const kernel: Kernel = kernels[d.kernel] ?? fail(at, `there is no kernel ${d.kernel}`);
    if (d.buffers.length !== kernel.arguments.length) {
      fail(at, `${kernel.name} takes ${kernel.arguments.length} buffers, not ${d.buffers.length}`);
    }
    kernel.arguments.forEach((argument, n) => {
      const buffer = bufferAt(d.buffers[n] as number, at);
      const isHalf = argument.storage === "f16" && buffer.dtype === "float16" &&
        buffer.role === "constant";
      const fits = (isHalf || storageOf(buffer.dtype) === argument.storage) &&
        dimsEqual(productOf(buffer.shape), argument.size);
      if (!fits) fail(at, `${buffer.name} is not what argument ${n} of ${kernel.name} holds`);
      const isOurs = buffer.role === "slot" || buffer.role === "output";
      if (argument.access === "write" && !isOurs) fail(at, `${buffer.name} cannot be written`);
    });
    const unbound = kernel.symbols.find((s) => !json.symbols.includes(s));
    if (unbound !== undefined) fail("symbols", `${unbound} of ${kernel.name} is missing`);
  });
  for (const [key, list] of [["inputs", json.inputs], ["outputs", json.outputs]] as const) {
    list.forEach((end, i) => {
      const { role } = bufferAt(end.buffer, `${key}[${i}]`);
      const fits = key === "inputs" ? role === "input" : role !== "slot";
      if (!fits) fail(`${key}[${i}]`, `a ${role} buffer is no ${key.slice(0, -1)}`);
    });
  }
  const constants = buffers.flatMap(({ name, dtype, shape, role }, buffer) => {
    if (role !== "constant") return [];
    const at = `buffers[${buffer}]`;
    const tensor = tensors.get(name) ?? fail(at, `the tensor "${name}" is missing`);
    const fits = tensor.dtype === dtype && tensor.shape.length === shape.length &&
      shape.every((d, i) => d === tensor.shape[i]);
    if (!fits) {
      fail(at, `the tensor "${name}" is ${tensor.dtype}[${tensor.shape}], ` +
        `not ${dtype}[${shape.map(dimToString)}]`);
    }
    return [{ buffer, tensor }];
  });
  return {
    name: json.name, symbols: json.symbols, buffers, kernels, dispatches: json.dispatches,
    inputs: json.inputs, outputs: json.outputs, constants, memory,
  };
}
