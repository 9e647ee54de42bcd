/**
 * Runs a module in headless Chromium and brings back what it answers: a page on localhost imports
 * the module's bundle and posts the JSON of its default export's result. Chromium is started with a
 * software WebGPU adapter (SwiftShader). Not a page-testing framework: nothing is clicked.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const flags = [
  "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run",
  "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan", "--use-vulkan=swiftshader",
];

const page = `<!doctype html><script type="module">
const post = (path, value) => fetch(path, { method: "POST", body: JSON.stringify(value) });
try {
  const { default: main } = await import("/main.js");
  await post("/result", (await main()) ?? null);
} catch (error) {
  await post("/error", String(error?.stack ?? error));
}
</script>`;

/** Bundles for a browser; what only Node has is left out by the manifest's field `browser`. */
async function bundleFor(source: string, resolveDir: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

interface Deferred {
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

function deferred(): Deferred {
  let resolve: Deferred["resolve"] = () => {};
  let reject: Deferred["reject"] = () => {};
  const promise = new Promise<unknown>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/**
 * @param chromium path of the program
 * @param source a TypeScript module whose default export is an async function without arguments
 * @param resolveDir where its relative imports start
 * @returns what the function resolved to, through JSON
 * @throws Error with the page's stack when it threw, or after `timeoutSeconds`
 */
export async function runInChromium(
  chromium: string, source: string, resolveDir: string, timeoutSeconds = 60,
): Promise<unknown> {
  const script = await bundleFor(source, resolveDir);
  const profile = mkdtempSync(join(tmpdir(), "crosstie-chromium-"));
  const answer = deferred();
  const server = createServer((request, response) => {
    if (request.method === "POST") {
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () => {
        response.end();
        const value: unknown = JSON.parse(body);
        if (request.url === "/result") answer.resolve(value);
        else answer.reject(new Error(`in the page: ${String(value)}`));
      });
      return;
    }
    const isScript = request.url === "/main.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : page);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const browser = spawn(
    chromium, [...flags, `--user-data-dir=${profile}`, `http://localhost:${port}/`],
    { stdio: "ignore", detached: true },
  );
  const exited = new Promise<void>((resolve) => browser.once("exit", () => resolve()));
  browser.once("error", answer.reject);
  browser.once("exit", (code) => answer.reject(new Error(`Chromium left with code ${code}`)));
  const timer = setTimeout(
    () => answer.reject(new Error(`no answer from Chromium in ${timeoutSeconds} s`)),
    timeoutSeconds * 1000,
  );
  try {
    return await answer.promise;
  } finally {
    clearTimeout(timer);
    // Its children are in its process group; they would keep writing to the profile.
    if (browser.pid !== undefined && browser.exitCode === null) {
      process.kill(-browser.pid, "SIGKILL");
      await exited;
    }
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
