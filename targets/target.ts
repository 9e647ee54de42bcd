/**
 * Reading target and device data that somebody has already loaded as JSON. Pure: finding files is
 * the runtime's part (`runtime/files/targetFiles.ts`).
 */
import { z } from "zod";
import type { Device } from "./device.ts";
import { deviceSchema } from "./device.ts";
import { UserError } from "./errors.ts";
import { parseWith } from "./parse.ts";
import type { Target } from "./schema.ts";
import { targetSchema } from "./schema.ts";

/**
 * A target from the contents of its file.
 * @param place the file's name, for messages
 * @throws UserError naming the JSON path, what was expected, what is there and the remedy
 */
export function parseTarget(json: unknown, place: string): Target {
  return parseWith(targetSchema, json, place);
}

/** A device from the contents of its file. @throws UserError as `parseTarget` does */
export function parseDevice(json: unknown, place: string): Device {
  return parseWith(deviceSchema, json, place);
}

/**
 * A copy of a target file's JSON with one figure's value replaced, for sweeps.
 * @param path dots between keys, as in `adc.bits`; the figure's unit stays
 * @throws UserError when the path names no figure
 */
export function withFigure(json: unknown, path: string, value: number): unknown {
  const copy: unknown = structuredClone(json);
  let node = copy as Record<string, unknown> | undefined;
  for (const key of path.split(".")) node = node?.[key] as Record<string, unknown> | undefined;
  if (typeof node?.value !== "number" || typeof node.source !== "string") {
    throw new UserError(`no figure is called "${path}"`, {
      place: "sweep",
      remedy: "Name a numeric field of the target file, for example adc.bits or array.rows.",
    });
  }
  node.source = `derived: swept from ${String(node.value)}; ${node.source}`;
  node.value = value;
  return copy;
}

/** The published JSON schemas; `targets/*.schema.json` hold exactly these. */
export const jsonSchemas = (): Record<"target" | "device", unknown> => ({
  target: { title: "crosstie target", ...z.toJSONSchema(targetSchema, { io: "input" }) },
  device: { title: "crosstie device", ...z.toJSONSchema(deviceSchema, { io: "input" }) },
});
