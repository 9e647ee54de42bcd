/**
 * Where statements of a shader function go: nested regions (function body, loops, branches), each
 * a list of lines that is filled while an emitter works and printed inside its parent at the end.
 */

export type RegionKind = "body" | "loop" | "branch";

export class Region {
  readonly kind: RegionKind;
  readonly lines: string[] = [];
  #parent: Region | undefined;

  constructor(kind: RegionKind = "body", parent?: Region) {
    this.kind = kind;
    this.#parent = parent;
  }

  get parent(): Region | undefined {
    return this.#parent;
  }

  /** Places a branch whose position was not known when it was made. */
  attach(parent: Region): void {
    this.#parent = parent;
  }

  get depth(): number {
    return this.#parent === undefined ? 0 : this.#parent.depth + 1;
  }

  push(...lines: readonly string[]): void {
    this.lines.push(...lines);
  }

  /** Appends `head {`, the lines of `inner` indented, and `}`. */
  block(head: string, inner: Region | readonly string[]): void {
    this.push(`${head} {`, ...indent(inner instanceof Region ? inner.lines : inner), "}");
  }
}

export const indent = (lines: readonly string[]): string[] =>
  lines.map((line) => (line === "" ? line : `  ${line}`));

/** The innermost region around both. */
export function commonRegion(a: Region, b: Region): Region {
  while (a.depth > b.depth) a = a.parent as Region;
  while (b.depth > a.depth) b = b.parent as Region;
  while (a !== b) {
    a = a.parent as Region;
    b = b.parent as Region;
  }
  return a;
}

/** The outer of two regions of which one lies in the other gives way to the inner. */
export const inner = (a: Region, b: Region): Region => (a.depth >= b.depth ? a : b);
