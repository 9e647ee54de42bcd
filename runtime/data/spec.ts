/**
 * The data SPEC of the command line, as text and as data. Grammar:
 *
 *     SPEC   = NAME ":" SPLIT [RANGE]  |  IMAGES.npy "," LABELS.npy [RANGE]
 *     NAME   = mnist | fashion-mnist | cifar10         SPLIT = train | test
 *     RANGE  = "[" [BEGIN] ":" [END] "]"               samples BEGIN up to, not including, END
 */
import { UserError } from "../../compiler/errors.ts";

export const datasetNames = ["mnist", "fashion-mnist", "cifar10"] as const;
export type DatasetName = (typeof datasetNames)[number];

export const splits = ["train", "test"] as const;
export type Split = (typeof splits)[number];

/** Samples from `begin` up to, not including, `end`; without `end`, all that follow. */
export interface SampleRange {
  readonly begin: number;
  readonly end: number | undefined;
}

export type DataSpec =
  | { readonly kind: "named"; readonly name: DatasetName; readonly split: Split;
      readonly range: SampleRange }
  | { readonly kind: "files"; readonly images: string; readonly labels: string;
      readonly range: SampleRange };

const remedy = 'Write it like "mnist:test", "cifar10:train[0:1000]" or "images.npy,labels.npy".';

const isOneOf = <T extends string>(names: readonly T[], name: string): name is T =>
  (names as readonly string[]).includes(name);

/** Throws UserError that says which part is wrong. */
export function parseDataSpec(text: string): DataSpec {
  const place = `data "${text}"`;
  const [, body = "", slice] = /^(.*?)(\[[^[\]]*\])?$/s.exec(text) ?? [];
  const range = parseRange(slice, place);
  if (body.includes(",")) {
    const [images = "", labels = "", ...rest] = body.split(",").map((part) => part.trim());
    if (!images.endsWith(".npy") || !labels.endsWith(".npy") || rest.length > 0) {
      throw new UserError("two .npy files are expected around the comma", { place, remedy });
    }
    return { kind: "files", images, labels, range };
  }
  const [name = "", split = "", ...rest] = body.split(":");
  if (!isOneOf(datasetNames, name)) {
    throw new UserError(`"${name}" is none of the data sets ${datasetNames.join(", ")}`, {
      place, remedy,
    });
  }
  if (!isOneOf(splits, split) || rest.length > 0) {
    throw new UserError(`"${[split, ...rest].join(":")}" is none of ${splits.join(", ")}`, {
      place, remedy,
    });
  }
  return { kind: "named", name, split, range };
}

function parseRange(slice: string | undefined, place: string): SampleRange {
  if (slice === undefined) return { begin: 0, end: undefined };
  const match = /^\[(\d*):(\d*)\]$/.exec(slice);
  if (match === null) throw new UserError(`"${slice}" is no range`, { place, remedy });
  const begin = Number(match[1] || 0);
  const end = match[2] ? Number(match[2]) : undefined;
  if (end !== undefined && end <= begin) {
    throw new UserError(`the range ${slice} holds no sample`, { place, remedy });
  }
  return { begin, end };
}

/** The range within `count` samples. Throws UserError where it reaches beyond them. */
export function resolveRange(
  { begin, end = Infinity }: SampleRange, count: number, place: string,
): { begin: number; end: number } {
  const last = end === Infinity ? count : end;
  if (begin >= count || last > count) {
    throw new UserError(`samples ${begin} to ${last} were asked for, there are ${count}`, {
      place, remedy: "Choose a smaller range.",
    });
  }
  return { begin, end: last };
}
