/** The page of an artifact with a simulated chip in it, and the server that shows it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { chipSourceOf } from "../../../runtime/api/chip.ts";
import { reportOf } from "../../../runtime/api/report.ts";
import { ChipSimulator } from "../../../runtime/chip/chipSimulator.ts";
import { imperfections } from "../../../runtime/chip/imperfections.ts";
import { reduceArray } from "../../../runtime/chip/wires/reduced.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { readArtifact } from "../../../runtime/files/artifactFiles.ts";
import { heatmap, shrink } from "../../../runtime/page/heatmap.ts";
import { serveArtifact } from "../../../runtime/page/serve.ts";
import { ohm } from "../../../targets/units.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-report-"));
const directory = join(folder, "mlp");
beforeAll(() => compileModel({
  model: "models/mnist-lenet.onnx", target: "neurram-rram", analog: "all", out: directory,
}));
afterAll(() => rmSync(folder, { recursive: true }));

describe("heatmap", () => {
  const grid = { rows: 3, columns: 2, values: Float64Array.of(0, 1, 2, 3, 4, 5) };

  test("is a PNG, white at the low end", () => {
    const [, base64] = heatmap(grid, [0, 5]).split("base64,");
    const { width, height, data } = PNG.sync.read(Buffer.from(base64!, "base64"));
    expect([width, height]).toEqual([2, 3]);
    const grey = Array.from({ length: 6 }, (_, i) => data[4 * i]);
    expect(grey).toEqual([255, 204, 153, 102, 51, 0]);
  });

  test("shows the means of blocks where the grid is large", () => {
    expect(shrink(grid, 2)).toEqual(
      { rows: 2, columns: 2, values: Float64Array.of(1, 2, 4, 5) });
    expect(shrink(grid, 3)).toEqual(grid);
  });
});

describe("maps of a tile", () => {
  test("are of the programmed cells and of the circuit they make", async () => {
    const source = (await chipSourceOf(await readArtifact(directory)))!;
    const { config } = source.blocks[0]!.home;
    const device = await openWasmDevice();
    const chip = new ChipSimulator(device, source, {
      seed: 1, imperfections: imperfections(["levels", "programming", "wires"]),
    });
    const [first] = chip.maps(2);
    const [again] = chip.maps(2);
    const [other] = chip.maps(3);
    device.destroy();
    const { rows, columns, target, programmed, error, rowVolt, columnVolt, drop } = first!;
    expect(again).toEqual(first);
    expect(other!.programmed).not.toEqual(programmed);
    expect(other!.target).toEqual(target);
    const readVolt = config.input.readVolt;
    for (let c = 0; c < target.length; c++) {
      expect(error[c]).toBe(programmed[c]! - target[c]!);
      expect(Math.abs(rowVolt[c]! - columnVolt[c]! - readVolt * (1 - drop[c]!)))
        .toBeLessThan(1e-12);
    }
    // The currents through the cells are what elimination, another method, says of the array.
    const { rowSegmentOhm, columnSegmentOhm } = config.array;
    const { conductance } = reduceArray({
      rows, cols: columns, conductance: programmed,
      rowSegmentOhm: ohm(rowSegmentOhm), colSegmentOhm: ohm(columnSegmentOhm),
    });
    for (let j = 0; j < columns; j++) {
      let [sum, output] = [0, 0];
      for (let i = 0; i < rows; i++) {
        const c = i * columns + j;
        sum += programmed[c]! * (rowVolt[c]! - columnVolt[c]!);
        output += conductance[c]! * readVolt;
      }
      expect(Math.abs(sum / output - 1)).toBeLessThan(1e-9);
    }
  });
});

describe("report", () => {
  test("is one page of all tiles, small and without script", async () => {
    const out = join(folder, "page.html");
    const steps: number[] = [];
    const request = {
      directory, seed: 1, trial: 0, time: 86400, without: ["stuck"], out,
      onProgress: (done: number) => void steps.push(done),
    };
    const { tiles, bytes, file } = await reportOf(request);
    expect(file).toBe(out);
    const text = readFileSync(out, "utf8");
    expect(Buffer.byteLength(text)).toBe(bytes);
    expect(bytes).toBeLessThan(5e6);
    expect(steps.at(-1)).toBe(tiles);
    expect(text.match(/<summary>/g)).toHaveLength(tiles);
    expect(text.match(/data:image\/png;base64,/g)).toHaveLength(6 * tiles);
    expect(text).not.toContain("<script");
    expect(text).toContain("Chip 0 of seed 1, 86400 s after programming, with levels, programming");
    await expect(reportOf({ ...request, only: ["rust"] })).rejects.toThrow(/--only: "rust"/);
  });
});

describe("serve", () => {
  test("gives the page and the artifact's files, and nothing else", async () => {
    const server = await serveArtifact({ directory, port: 0 });
    try {
      const get = (path: string, method = "GET"): Promise<Response> =>
        fetch(new URL(path, server.url), { method });
      const page = await get("/");
      expect(page.headers.get("content-type")).toContain("text/html");
      expect(await page.text()).toBe(readFileSync(join(directory, "report.html"), "utf8"));
      expect((await (await get("/plan.json")).json() as { format: string }).format)
        .toBe("crosstie-plan");
      expect((await get("/kernels.wasm")).headers.get("content-type")).toBe("application/wasm");
      for (const path of ["/../page.html", "/%2e%2e/page.html", "/nothing", "/kernels"]) {
        expect((await get(path)).status).toBe(404);
      }
      expect((await get("/", "POST")).status).toBe(405);
      const port = Number(new URL(server.url).port);
      await expect(serveArtifact({ directory, port })).rejects.toThrow(/--port: port \d+ is taken/);
    } finally {
      await server.close();
    }
    await expect(serveArtifact({ directory: folder, port: 0 })).rejects.toThrow(/plan\.json/);
  });
});
