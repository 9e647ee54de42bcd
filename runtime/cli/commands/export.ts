/** `crosstie export MODEL -o FILE.onnx`: what the compiler makes of a model, as ONNX again. */
import { OBJECTIVES, type Objective } from "../../../compiler/partition/place.ts";
import { exportModel, type ExportResult } from "../../api/exportModel.ts";
import { parseBindings } from "../bindings.ts";
import type { CommandSpec } from "../command.ts";

export const exportCommand: CommandSpec = {
  name: "export",
  summary: "Write a model back as ONNX: folded, retrained, or with its partition.",
  arguments: [{ name: "<model>", description: "ONNX file" }],
  options: [
    { flags: "-o, --out <file>", description: "ONNX file to write" },
    {
      flags: "--weights <file>",
      description: "weights that replace the model's, by name (a checkpoint's .safetensors)",
    },
    {
      flags: "--target <target>",
      description: "partition it: nodes say in their doc_string where they run on this target",
    },
    {
      flags: "--objective <what>", description: "of the partition", default: "energy",
      choices: OBJECTIVES,
    },
    { flags: "--bind <sizes>", description: "numbers for symbolic sizes, such as H=224,W=224" },
    {
      flags: "--external-data",
      description: "put the weights into FILE.data (always so beyond 1 GiB)",
    },
  ],
  example: "crosstie export models/mnist-vit.onnx -o folded.onnx",
  run({ args: [model], options }): Promise<ExportResult> {
    return exportModel({
      model: model as string,
      out: options.required("out", "-o", "Name the ONNX file to write: -o folded.onnx."),
      weights: options.text("weights"),
      target: options.text("target"),
      objective: options.choice<Objective>("objective"),
      bind: parseBindings(options.text("bind")),
      externalData: options.flag("externalData"),
    });
  },
  render: ({ model, data, nodes, weightBytes, target, replaced }: ExportResult) => [
    `${model}: ${nodes} nodes, ${weightBytes} bytes of weights${data ? ` in ${data}` : ""}`,
    ...(replaced > 0 ? [`${replaced} weights replaced`] : []),
    ...(target === null ? [] : [`partitioned for ${target}`]),
  ].join("\n"),
};
