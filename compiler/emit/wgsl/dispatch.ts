/**
 * How many workgroups a kernel needs, as data that an artifact can hold: the product of quotients
 * of sizes. One number counts them all; where it exceeds what one dimension of a dispatch may have,
 * the groups are laid out in two or three dimensions and the shader computes the number back.
 */
import { evalDim, parseDim, type Bindings } from "../../graph/dim.ts";
import { InternalError } from "../../errors.ts";

/** One workgroup per `per` elements of `size`, rounded up. */
export interface GridFactor {
  /** A printed `Dim`: "49*N". */
  readonly size: string;
  readonly per: number;
}

export interface Dispatch {
  /** Workgroups = product over these; none means one. */
  readonly grid: readonly GridFactor[];
  /** Dimensions from which the shader recovers the number of its workgroup. */
  readonly dimensions: 1 | 2 | 3;
}

/**
 * The comment line by which a shader says how many workgroups it needs, so that a shader file can
 * be run without anything else: `// workgroups: N * ceil(784 / 32)`.
 */
export function dispatchComment({ grid, dimensions }: Dispatch): string {
  const factors = grid.map(({ size, per }) =>
    (per === 1 ? `(${size})` : `ceil((${size}) / ${per})`));
  const spread = dimensions === 1 ? "" : `, in ${dimensions} dimensions`;
  return `${marker}${factors.length === 0 ? "1" : factors.join(" * ")}${spread}`
    .replaceAll(/\((\w+)\)/g, "$1");
}

const marker = "// workgroups: ";

/** Reads what `dispatchComment` wrote; undefined when the source has no such line. */
export function dispatchOf(source: string): Dispatch | undefined {
  const line = source.split("\n").find((text) => text.startsWith(marker));
  const parsed = line && /^(.*?)(?:, in ([23]) dimensions)?$/.exec(line.slice(marker.length));
  if (!parsed) return undefined;
  const dimensions = Number(parsed[2] ?? 1) as Dispatch["dimensions"];
  const grid: GridFactor[] = [];
  const factors = parsed[1] as string;
  // Factors are separated by " * " outside parentheses; sizes are printed without spaces.
  for (const factor of factors === "1" ? [] : factors.split(" * ")) {
    const quotient = /^ceil\((.+) \/ (\d+)\)$/.exec(factor);
    const size = (quotient ? quotient[1] as string : factor).replace(/^\((.*)\)$/, "$1");
    if (!/^[\w*+-]+$/.test(size)) return undefined;
    grid.push({ size, per: Number(quotient?.[2] ?? 1) });
  }
  return { grid, dimensions };
}

export function workgroupCount({ grid }: Dispatch, bindings: Bindings): number {
  return grid.reduce((n, { size, per }) =>
    n * Math.ceil(Math.max(evalDim(parseDim(size), bindings), 0) / per), 1);
}

/**
 * Counts for `dispatchWorkgroups`, as square as the limit asks for. All zero when there is nothing
 * to do: such a dispatch is to be left out.
 */
export function workgroupCounts(
  dispatch: Dispatch, bindings: Bindings, limit: number,
): readonly [number, number, number] {
  const total = workgroupCount(dispatch, bindings);
  if (total === 0) return [0, 0, 0];
  const counts: [number, number, number] = [1, 1, 1];
  let rest = total;
  // Outer dimensions take just what the inner ones cannot, so few groups have nothing to do.
  for (let d = dispatch.dimensions - 1; d >= 0; d--) {
    counts[d] = Math.ceil(rest / limit ** d);
    rest = Math.ceil(rest / (counts[d] as number));
  }
  if (counts.some((n) => n > limit)) {
    throw new InternalError(
      `${total} workgroups do not fit ${dispatch.dimensions} dimensions of at most ${limit}`);
  }
  return counts;
}

/** Dimensions that `groups` workgroups need; unknown counts stay below 2^31 elements. */
export function dimensionsFor(groups: number | undefined, limit: number): 1 | 2 | 3 {
  const most = groups ?? 2 ** 31;
  return most <= limit ? 1 : most <= limit * limit ? 2 : 3;
}
