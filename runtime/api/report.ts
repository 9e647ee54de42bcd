/**
 * `report` as a function: the page of an artifact written anew, with a picture of one simulated
 * chip. The artifact's own files stay as they are.
 */
import { join } from "node:path";
import { artifactFiles } from "../../compiler/artifact/plan.ts";
import type { ChipSimulator } from "../chip/chipSimulator.ts";
import { imperfectionNames } from "../chip/imperfections.ts";
import { openDevice } from "../device/open.ts";
import { readArtifact } from "../files/artifactFiles.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { summarise, type ChipPicture } from "../page/chipSection.ts";
import { renderReport } from "../page/report.ts";
import { chosenImperfections, openSimulator, type ChipRequest } from "./chip.ts";

export interface ReportRequest extends ChipRequest {
  readonly directory: string;
  /** Number of the chip that is shown. */
  readonly trial: number;
  /** Where to write the page; the artifact's own unless given. */
  readonly out?: string;
  /** Called after every tile. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ReportResult {
  readonly file: string;
  readonly bytes: number;
  /** Tiles that the page shows; 0 where every unit is digital. */
  readonly tiles: number;
}

/** @throws UserError when the folder is no artifact, or an imperfection is none */
export async function reportOf(request: ReportRequest): Promise<ReportResult> {
  const artifact = await readArtifact(request.directory);
  const device = await openDevice("wasm");
  try {
    const chip = await openSimulator(artifact, device, request);
    const picture = chip && pictureOf(chip, request);
    const file = request.out ?? join(request.directory, artifactFiles.report);
    const text = renderReport(artifact.plan, picture);
    await writeFileAtomic(file, text);
    return { file, bytes: Buffer.byteLength(text), tiles: picture?.tiles.length ?? 0 };
  } finally {
    device.destroy();
  }
}

function pictureOf(chip: ChipSimulator, request: ReportRequest): ChipPicture {
  const { seed, trial, time, onProgress } = request;
  const on = chosenImperfections(request);
  const names = imperfectionNames.filter((name) => on[name]);
  const total = chip.tileCount;
  const tiles: ChipPicture["tiles"][number][] = [];
  for (const maps of chip.maps(trial)) {
    tiles.push(summarise(maps, tiles.length));
    onProgress?.(tiles.length, total);
  }
  const age = time === undefined ? "as first measured" : `${time} s after programming`;
  return {
    told: `Chip ${trial} of seed ${seed}, ${age}, with ${names.join(", ") || "no imperfection"}`,
    tiles,
  };
}
