/**
 * WebGPU in Node: Dawn, from the optional npm package `webgpu`. On Linux Dawn needs a Vulkan
 * driver; where no installed one serves, the SwiftShader driver that a Chromium carries is used
 * (measured on two 2.1 GHz cores, 256^3 product of 4x4 register tiles: Mesa's lavapipe 5-6 GFLOP/s
 * and 16-bit floats, SwiftShader 2 GFLOP/s and none; so Mesa's comes first). Bundles
 * for browsers leave this file out, by the field `browser` of package.json.
 *
 * Traps, each seen with webgpu 0.6: the object that `create` returns must outlive everything made
 * from it, or the process aborts; and in a worker thread the binding crashes.
 */
import { existsSync, readdirSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import type { NoWebGpu } from "./adapter.ts";

/** Places where Vulkan's loader looks for driver manifests unless told otherwise. */
const systemFolders = ["/usr/local/etc", "/usr/local/share", "/etc", "/usr/share"];

/** SwiftShader as browsers bring it: Debian, Fedora, Google's and Microsoft's packages. */
const swiftShaderManifests = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
  "/opt/microsoft/msedge/vk_swiftshader_icd.json",
];

/** Variables by which a person chooses a driver; where one is set, nothing else is tried. */
const choosing = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;

const driverRemedy =
  "Install a Vulkan driver (Debian: mesa-vulkan-drivers, 23 or newer, or chromium) " +
  "or use another device.";

/** Held for the life of the process, see above. */
let gpu: GPU | undefined;

/** Dawn's `GPU` object with an adapter behind it, or why there is none. Sets WebGPU's globals. */
export async function dawnGpu(): Promise<GPU | NoWebGpu> {
  if (gpu !== undefined) return gpu;
  if (!isMainThread) {
    return {
      unavailable: "WebGPU in Node works on the main thread only",
      remedy: "Use another device in worker threads.",
    };
  }
  let dawn: typeof import("webgpu");
  try {
    dawn = await import("webgpu");
  } catch (error) {
    const said = error instanceof Error ? error.message.split("\n")[0] : String(error);
    return {
      unavailable: `the optional package "webgpu" cannot be loaded (${said})`,
      remedy: "Run `npm install webgpu`, or use another device.",
    };
  }
  Object.assign(globalThis, dawn.globals);
  if (process.platform !== "linux") gpu = await withAdapter(dawn.create([]));
  else if (choosing.some((name) => process.env[name] !== undefined) || hasSystemDriver()) {
    gpu = await withAdapter(dawn.create([]));
  }
  if (gpu === undefined) gpu = await swiftShader(dawn.create);
  return gpu ?? { unavailable: whyNone(), remedy: driverRemedy };
}

/** @returns the argument if it has an adapter */
async function withAdapter(candidate: GPU): Promise<GPU | undefined> {
  try {
    return (await candidate.requestAdapter()) === null ? undefined : candidate;
  } catch {
    // Dawn throws instead of answering null when no driver is of use; whyNone() says so.
    return undefined;
  }
}

/** Vulkan's loader reads the variable while Dawn starts, so it is set just for that. */
async function swiftShader(create: (options: string[]) => GPU): Promise<GPU | undefined> {
  const manifest = swiftShaderManifests.find((path) => existsSync(path));
  const chosen = choosing.some((name) => process.env[name] !== undefined);
  if (manifest === undefined || chosen || process.platform !== "linux") return undefined;
  process.env.VK_ICD_FILENAMES = manifest;
  try {
    return await withAdapter(create([]));
  } finally {
    delete process.env.VK_ICD_FILENAMES;
  }
}

/** Asked before Dawn is, because Dawn reports a missing driver with pages of native warnings. */
function hasSystemDriver(): boolean {
  const shared = process.env.XDG_DATA_DIRS;
  const folders = shared === undefined ? systemFolders : ["/etc", ...shared.split(":")];
  return folders.some((folder) => {
    const manifests = `${folder}/vulkan/icd.d`;
    return existsSync(manifests) && readdirSync(manifests).some((name) => name.endsWith(".json"));
  });
}

function whyNone(): string {
  const chosen = choosing.find((name) => process.env[name] !== undefined);
  if (chosen !== undefined) {
    return `no usable driver is named by ${chosen}=${process.env[chosen]}`;
  }
  if (process.platform === "linux" && !hasSystemDriver()) return "no Vulkan driver is installed";
  return "Dawn accepts none of the installed GPU drivers";
}
