/** `crosstie serve DIR`: an artifact's page and files for a browser on this machine. */
import { serveArtifact } from "../../page/serve.ts";
import type { CommandSpec } from "../command.ts";

interface Served {
  readonly url: string;
}

export const serve: CommandSpec = {
  name: "serve",
  summary: "Serve an artifact's page and files on this machine until interrupted.",
  arguments: [{ name: "<dir>", description: "artifact folder" }],
  options: [{ flags: "--port <n>", description: "0 for any that is free", default: "8080" }],
  example:
    "crosstie compile models/mnist-lenet.onnx --target neurram-rram -o lenet.crosstie\n" +
    "$ crosstie serve lenet.crosstie",
  async run({ args: [directory], options, io }): Promise<Served> {
    const port = options.integer("port", "--port", { min: 0, max: 65535 }) ?? 8080;
    const server = await serveArtifact({ directory: directory as string, port });
    io.log(`${server.url} serves ${directory}; interrupt to stop`);
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
    });
    await server.close();
    return { url: server.url };
  },
  render: ({ url }: Served) => `${url} is closed`,
};
