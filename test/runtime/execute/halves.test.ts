/** Float16 data on the interpreter and on WASM: halves in memory, float32 in sums. */
import { describe, expect, test, vi } from "vitest";
import { emitWasm, emitWasmModule } from "../../../compiler/emit/wasm/emit.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { areHalves, halfToFloat, packHalves, unpackHalf } from "../../../compiler/graph/half.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { buildProgram, halfBuffers } from "../../../compiler/kernels/program.ts";
import {
  programFromJson, programSchema, programToJson,
} from "../../../compiler/kernels/serialise.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { everyHalf, longSums, type HalfCase } from "../../support/halfCases.ts";
import { elements } from "../../support/threeWays.ts";

const devices: [string, () => Promise<Device>][] = [
  ["interpreter", () => Promise.resolve(new InterpreterDevice())],
  ["float64 interpreter", () => Promise.resolve(new InterpreterDevice("f64"))],
  ["wasm", openWasmDevice],
];

async function run(device: Device, { graph, inputs }: HalfCase): Promise<number[]> {
  const session = await Session.create(device, buildProgram(graph));
  const y = (await session.run(inputs)).get("y");
  device.destroy();
  return elements(y as never);
}

describe.each(devices)("on the %s", (_, open) => {
  test("every half reads as its number, from half the memory", async () => {
    const device = await open();
    const allocated = vi.spyOn(device, "allocate");
    const one = everyHalf();
    expect(await run(device, one)).toEqual(one.expected);
    const sizes = allocated.mock.calls.map(([words]) => words).sort((a, b) => b - a);
    expect(sizes.slice(0, 2)).toEqual([2 ** 16, 2 ** 15]);
  });

  test("products and sums of halves add up in float32", async () => {
    const one = longSums();
    expect(Math.max(...one.expected)).toBeGreaterThan(2048);
    expect(await run(await open(), one)).toEqual(one.expected);
  });
});

test("a program that was written and read back still has its halves", async () => {
  const one = longSums();
  const program = buildProgram(one.graph);
  const tensors = new Map(program.constants.map(({ buffer, tensor: held }) =>
    [program.buffers[buffer]?.name as string, held]));
  const json = JSON.parse(JSON.stringify(programToJson(program))) as unknown;
  const read = programFromJson(programSchema.parse(json), tensors, "plan");
  expect(halfBuffers(read)).toEqual(halfBuffers(program));
  expect(halfBuffers(read).size).toBe(1);
  const device = await openWasmDevice();
  const session = await Session.create(device, read, { wasm: emitWasmModule(program.kernels) });
  expect(elements((await session.run(one.inputs)).get("y") as never)).toEqual(one.expected);
  device.destroy();
});

test("WASM packs halves for its tiles as it does other weights", () => {
  const b = new Builder();
  const x = b.input("x", { dtype: "float32", shape: [64, 128] });
  const w = b.constant(
    { ...tensor("float16", [128, 64], new Float32Array(128 * 64)) }, "w");
  const y = b.dot(x, b.cast(w, "float32"), 0, 1);
  const { kernels } = buildProgram(b.finish([{ name: "y", value: y }]));
  expect(kernels.flatMap((k) => k.arguments.map((a) => a.storage))).toContain("f16");
  expect(emitWasm(kernels).strategies.join()).toContain("packed");
});

test("what no half holds is kept in full, and so is what is computed", () => {
  const b = new Builder();
  const x = b.input("x", { dtype: "float16", shape: [3] });
  const third = b.constant(
    { dtype: "float16", shape: [3], data: Float32Array.of(1, 2, 1 / 3), splat: false }, "third");
  const half = b.constant(tensor("float16", [3], [1, 2, 0.5]), "half");
  const y = b.mul(b.addition(x, third), half);
  const program = buildProgram(b.finish([{ name: "y", value: y }]));
  const names = [...halfBuffers(program)].map((i) => program.buffers[i]?.name);
  expect(names).toEqual(["half"]);
});

test("halves are packed two to a word, the first one low, odd counts included", () => {
  const values = [1, -2, 0.5, Infinity, 2 ** -24];
  const words = packHalves(values);
  expect([...words]).toEqual([0xc000_3c00, 0x7c00_3800, 0x0000_0001]);
  expect(values.map((_, i) => unpackHalf(words, i))).toEqual(values);
  const all = Array.from({ length: 2 ** 16 }, (_, bits) => halfToFloat(bits));
  expect(areHalves(all)).toBe(true);
  expect(areHalves([1, 1 / 3])).toBe(false);
  expect(areHalves([65_520])).toBe(false);
});
