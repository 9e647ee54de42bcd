/**
 * Random products over guarded operands, bit for bit what evaluation says; and that they took the
 * ways meant for them.
 */
import { expect, it } from "vitest";
import { emitWasm } from "../../../../compiler/emit/wasm/emit.ts";
import { evaluateGraph } from "../../../../compiler/graph/evaluate.ts";
import { printGraph } from "../../../../compiler/graph/print.ts";
import { buildProgram } from "../../../../compiler/kernels/program.ts";
import { openWasmDevice } from "../../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../../runtime/execute/session.ts";
import { Random } from "../../../support/randomGraph.ts";
import { randomProduct } from "./randomProducts.ts";

const device = await openWasmDevice();

it.each([["floats", 0], ["integers", 1]] as const)("of %s", async (_, kind) => {
  const ways: string[] = [];
  for (let seed = 1; seed <= 120; seed++) {
    const { graph, inputs } = randomProduct(new Random(seed), kind === 0);
    const program = buildProgram(graph);
    const session = await Session.create(device, program);
    const out = (await session.run(inputs)).get("y");
    session.release();
    const expected = evaluateGraph(graph, inputs, "f32").get("y");
    const places = Array.from(expected?.data ?? []);
    const wrong = places.findIndex((value, i) => out?.data[i] !== value);
    expect(wrong, `seed ${seed}, element\n${printGraph(graph).text}`).toBe(-1);
    ways.push(...emitWasm(program.kernels).strategies);
  }
  const way = kind === 0 ? "packed 4x12" : "packed pairs";
  expect(ways.filter((s) => s.startsWith(way)).length).toBeGreaterThan(40);
  expect(ways.filter((s) => s.startsWith("direct product")).length).toBeGreaterThan(10);
});
