/** `crosstie inspect MODEL`: what a model is, and everything that would stop it, at once. */
import {
  inspectModel,
  type Inspection,
  type InspectedValue,
} from "../../../compiler/onnx/inspect.ts";
import { loadModelOutline } from "../../files/modelFiles.ts";
import { parseBindings } from "../bindings.ts";
import type { CommandSpec } from "../command.ts";
import { table } from "../table.ts";

const typed = ({ name, dtype, shape }: InspectedValue): string =>
  `${name}: ${dtype}${shape ? `[${shape.join(",")}]` : " of unknown shape"}`;

function unsupportedLines({ unsupported }: Inspection): string[] {
  if (unsupported.length === 0) return ["every operator is supported"];
  return [
    `${unsupported.length} operators are not supported:`,
    ...unsupported.flatMap((u) => {
      const why = u.reason === undefined ? "" : ` (${u.reason})`;
      return [
        `  ${u.operator} (${u.domain || "ai.onnx"}, opset ${u.opset}): ${u.nodes.join(", ")}`,
        `    on ${u.types.join(", ")}${why}; needed for the outputs ${u.outputs.join(", ")}`,
      ];
    }),
  ];
}

export const inspect: CommandSpec = {
  name: "inspect",
  summary: "Describe a model: sizes, operators, and all that is unsupported.",
  arguments: [{ name: "<model>", description: "ONNX file" }],
  options: [
    { flags: "--bind <sizes>", description: "numbers for symbolic sizes, such as H=224,W=224" },
  ],
  example: "crosstie inspect models/mnist-lenet.onnx",
  async run({ args: [model], options }): Promise<Inspection> {
    return inspectModel(
      await loadModelOutline(model as string),
      parseBindings(options.text("bind")),
    );
  },
  render(inspection: Inspection) {
    const { opset, nodes, parameters, macs, macsSymbolic, inputs, outputs } = inspection;
    const work =
      macs === null
        ? "unknown until sizes are bound"
        : `${macs}${macsSymbolic === String(macs) ? "" : ` (${macsSymbolic})`}`;
    const counts = Object.entries(inspection.operators).map(([name, count]) => [name, count]);
    return [
      `opset ${opset}, ${nodes} nodes, ${parameters} parameters, multiply-accumulates: ${work}`,
      ...inputs.map((v) => `input ${typed(v)}`),
      ...outputs.map((v) => `output ${typed(v)}`),
      table(["operator", "nodes"], counts as [string, number][]),
      ...unsupportedLines(inspection),
      ...inspection.problems.map((p) => `problem: ${p}`),
    ].join("\n");
  },
};
