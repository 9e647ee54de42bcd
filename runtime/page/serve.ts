/**
 * Serves the page and the files of one artifact to browsers on this machine: what the plan names,
 * nothing else of the disk, read anew at every request. It listens on the loopback address only.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { artifactFiles } from "../../compiler/artifact/plan.ts";
import { UserError } from "../../compiler/errors.ts";
import { readArtifact } from "../files/artifactFiles.ts";
import { codeOf } from "../files/failures.ts";

export interface ServeRequest {
  readonly directory: string;
  /** 0 takes any port that is free. */
  readonly port: number;
}

export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8", ".json": "application/json",
  ".wgsl": "text/plain; charset=utf-8", ".wasm": "application/wasm",
  ".safetensors": "application/octet-stream",
};

/** @throws UserError when the folder is no artifact, or the port is taken */
export async function serveArtifact({ directory, port }: ServeRequest): Promise<PageServer> {
  const { plan } = await readArtifact(directory);
  const { report, plan: planFile } = artifactFiles;
  const names = new Set<string>([report, planFile, ...Object.keys(plan.digests)]);
  const server = createServer((request, response) => {
    void answer(directory, names, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(codeOf(error) !== "EADDRINUSE" ? error
        : new UserError(`port ${port} is taken`, {
          place: "--port", remedy: "Name another one, or 0 for any that is free.",
        }));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

async function answer(
  directory: string, names: ReadonlySet<string>, request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (status: number, type: string, body: string | Uint8Array): void => {
    response.writeHead(status, { "content-type": type, "cache-control": "no-cache" });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const text = "text/plain; charset=utf-8";
  if (request.method !== "GET" && request.method !== "HEAD") return reply(405, text, "GET only\n");
  const path = new URL(request.url ?? "/", "http://localhost").pathname.slice(1);
  const name = path === "" ? artifactFiles.report : path;
  if (!names.has(name)) return reply(404, text, "no such file in this artifact\n");
  try {
    reply(200, types[extname(name)] ?? text, await readFile(join(directory, name)));
  } catch {
    reply(404, text, "the file is missing; write it again with crosstie compile or report\n");
  }
}
