/** `crosstie verify DIR`: runs ONNX backend-format test folders on a device. */
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { optimise } from "../../../compiler/compile.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { openDevice, deviceChoices, type DeviceChoice } from "../../device/open.ts";
import type { Device } from "../../device/device.ts";
import { Session } from "../../execute/session.ts";
import { runConformance, type VerifyResult } from "../../verify.ts";
import type { CommandSpec } from "../command.ts";
import { table } from "../table.ts";

/** Compiles and runs one graph, and gives its memory back. */
export const runOn =
  (device: Device) =>
  async (graph: Graph, inputs: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> => {
    const session = await Session.create(device, buildProgram(optimise(graph, device.profile)));
    try {
      return await session.run(inputs);
    } finally {
      session.release();
    }
  };

export const verify: CommandSpec = {
  name: "verify",
  summary: "Run ONNX backend-format test folders and compare with their stored outputs.",
  arguments: [{ name: "<dir>", description: "a test folder, or a folder of them" }],
  options: [
    {
      flags: "--device <device>",
      description: "where to run",
      default: "auto",
      choices: deviceChoices,
    },
  ],
  example: "crosstie verify test/fixtures/onnx/node --json",
  async run({ args: [directory], options, io }): Promise<VerifyResult & { device: string }> {
    const device = await openDevice(options.choice<DeviceChoice>("device") ?? "auto");
    try {
      let bar: ReturnType<typeof io.progress> | undefined;
      const result = await runConformance(directory as string, {
        runGraph: runOn(device),
        onTest: (_, _done, total) => {
          bar ??= io.progress("tests", total);
          bar.advance();
        },
      });
      bar?.finish();
      return { device: device.info.description, ...result };
    } finally {
      device.destroy();
    }
  },
  render({ device, passed, failed, unsupported, tests }: VerifyResult & { device: string }) {
    const rest = tests
      .filter((t) => t.status !== "passed")
      .map((t) => [t.name, t.status, t.reason ?? ""]);
    const sum = `${passed} passed, ${failed} failed, ${unsupported} unsupported on ${device}`;
    return rest.length === 0 ? sum : `${table(["test", "status", "reason"], rest)}\n${sum}`;
  },
};
