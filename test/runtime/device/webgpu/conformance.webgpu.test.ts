/**
 * The packed ONNX conformance tests on WebGPU: every shader of every passing test is taken by
 * Dawn, and a set drawn evenly over the operators is executed and gives the suite's outputs. Not
 * the whole suite: `crosstie verify FOLDER --device webgpu` runs that.
 */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { optimise } from "../../../../compiler/compile.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { evaluateGraph } from "../../../../compiler/graph/evaluate.ts";
import { buildProgram } from "../../../../compiler/kernels/program.ts";
import type { Model } from "../../../../compiler/onnx/model.ts";
import { decodeModel } from "../../../../compiler/onnx/proto.ts";
import { runOn } from "../../../../runtime/cli/commands/verify.ts";
import {
  openWebGpuDevice, profileOf, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { runCase, type TestCase } from "../../../../runtime/verify.ts";
import { readPack } from "../../../support/conformancePack.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { compileCheck } from "./compileCheck.ts";

/** Tests executed, of about 920: compiling their shaders is what costs time (40 s of one core). */
const executed = 320;

interface Decoded extends TestCase {
  readonly decoded: Model;
}

/**
 * `count` of the tests, operator by operator in turns, so that a rare operator is as likely to be
 * in as a common one.
 */
function stratified(tests: readonly Decoded[], count: number, random: Random): Decoded[] {
  const strata = new Map<string, Decoded[]>();
  for (const one of tests) {
    for (const operator of new Set(one.decoded.graph.nodes.map(({ operator }) => operator))) {
      strata.set(operator, [...strata.get(operator) ?? [], one]);
    }
  }
  const chosen = new Set<Decoded>();
  while (chosen.size < Math.min(count, tests.length)) {
    for (const stratum of strata.values()) {
      const rest = stratum.filter((one) => !chosen.has(one));
      if (rest.length > 0 && chosen.size < count) chosen.add(random.pick(rest));
    }
  }
  return [...chosen];
}

describeWebGpu("ONNX conformance on WebGPU", (get) => {
  const passing: Decoded[] = [];
  const shaders = new Set<string>();
  let device: WebGpuDevice;

  beforeAll(async () => {
    device = await openWebGpuDevice();
    const profile = profileOf(get().device);
    for (const one of readPack()) {
      const decoded = decodeModel(one.model, one.name);
      const own: string[] = [];
      const { status } = await runCase(one.name, decoded, one.sets, {
        runGraph: (graph, inputs) => {
          const { kernels } = buildProgram(optimise(graph));
          own.push(...kernels.map((kernel) => emitWgsl(kernel, profile).source));
          return Promise.resolve(evaluateGraph(graph, inputs));
        },
      });
      if (status !== "passed") continue;
      passing.push({ ...one, decoded });
      own.forEach((text) => shaders.add(text));
    }
  });
  afterAll(() => device.destroy());

  test("Dawn takes every shader of the passing tests", async () => {
    expect(passing.length).toBeGreaterThan(900);
    expect(shaders.size).toBeGreaterThan(1000);
    const texts = [...shaders];
    const complaints = await compileCheck(get().device, texts);
    texts.forEach((text, i) => expect(complaints[i], text).toEqual([]));
  });

  test(`${executed} of them, drawn evenly over the operators, pass when executed`, async () => {
    const runs = vi.spyOn(device, "run");
    let passed = 0;
    for (const { name, decoded, sets } of stratified(passing, executed, new Random(9))) {
      const { status, reason } = await runCase(name, decoded, sets, { runGraph: runOn(device) });
      if (status === "passed") passed++;
      // Values that 32 bits cannot hold are refused; nothing may fail.
      else expect(reason, name).toMatch(/which (32 bits|float32) cannot/);
    }
    expect(passed).toBeGreaterThanOrEqual(300);
    expect(runs.mock.calls.length).toBeGreaterThanOrEqual(passed);
  });
});
