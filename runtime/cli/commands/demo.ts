/**
 * `crosstie demo`: the main job on a shipped model and real images. Every step is a command that
 * the person can type next, printed before it runs.
 */
import { join, relative } from "node:path";
import type { CommandSpec } from "../command.ts";
import { packageFile } from "../../files/packageFiles.ts";
import { invoke } from "../program.ts";
import { quoted } from "../shell.ts";
import { compileCommand } from "./compile.ts";
import { inspect } from "./inspect.ts";
import { simulate } from "./simulate.ts";

interface Step {
  readonly spec: CommandSpec;
  readonly words: readonly string[];
}

interface Result {
  readonly steps: readonly { readonly command: string; readonly result: unknown }[];
  readonly artifact: string;
}

function stepsFor(model: string, target: string, folder: string, images: number): Step[] {
  return [
    { spec: inspect, words: [model] },
    { spec: compileCommand, words: [model, "--target", target, "-o", folder] },
    { spec: simulate, words: [folder, "--data", `mnist:test[0:${images}]`, "--trials", "3"] },
  ];
}

export const demo: CommandSpec = {
  name: "demo",
  summary: "Compile a trained CNN for an RRAM chip and simulate it on MNIST images.",
  options: [
    { flags: "-o, --out <dir>", description: "artifact folder", default: "crosstie-demo" },
    {
      flags: "--target <target>",
      description: "preset name or target file",
      default: "neurram-rram",
    },
    { flags: "--images <n>", description: "MNIST test images to run", default: "1000" },
  ],
  example: "crosstie demo",
  async run({ options, io }): Promise<Result> {
    const folder = options.text("out") as string;
    const images = options.integer("images", "--images", { min: 1, max: 10000 }) as number;
    const path = packageFile(join("models", "mnist-lenet.onnx"));
    const near = relative(process.cwd(), path);
    const model = near.startsWith("..") ? path : near;
    const done: { command: string; result: unknown }[] = [];
    for (const { spec, words } of stepsFor(
      model,
      options.text("target") as string,
      folder,
      images,
    )) {
      const command = `npx crosstie ${[spec.name, ...words].map(quoted).join(" ")}`;
      if (!io.json) io.print(`$ ${command}`);
      const result = await invoke(spec, words);
      if (!io.json) io.print(`${spec.render(result as never)}\n`);
      done.push({ command, result });
    }
    return { steps: done, artifact: folder };
  },
  render: ({ artifact }: Result) =>
    `The artifact is in ${artifact}; open ${join(artifact, "report.html")} in a browser.`,
};
