/**
 * One WGSL module in the making: names of tensors, symbolic sizes and library functions, shared
 * workgroup arrays, and the text around the entry point. What the entry point does is the business
 * of the emitter of the kernel's kind.
 */
import { productOf, type Dim } from "../../graph/dim.ts";
import type { Storage } from "../../graph/dtype.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import { dimensionsFor, dispatchComment, type Dispatch, type GridFactor } from "./dispatch.ts";
import { functionNames, sourcesOf, type FunctionName } from "./functions.ts";
import { Names, tensorName } from "./names.ts";
import type { DeviceProfile } from "./profile.ts";
import { indent } from "./region.ts";
import { primary, type Library, type Text } from "./text.ts";

/** A storage buffer of the module: its kernel argument and its name in the shader. */
export interface WgslBinding {
  readonly argument: number;
  readonly name: string;
  readonly access: "read" | "write";
}

export interface WgslKernel {
  readonly source: string;
  /** The kernel's name, unless WGSL has a meaning for it. */
  readonly entryPoint: string;
  readonly workgroupSize: number;
  /** Group 0: binding i is `bindings[i]`; behind them the uniform buffer, if there is one. */
  readonly bindings: readonly WgslBinding[];
  /** Names of the sizes (i32 each) that the uniform buffer holds, in order; none: no buffer. */
  readonly sizes: readonly string[];
  readonly dispatch: Dispatch;
}

/** What an emitter hands back besides what it told the module. */
export interface Entry {
  readonly workgroupSize: number;
  readonly grid: readonly { readonly size: Dim; readonly per: number }[];
  /** A sentence of how the kernel is computed, for the comment above it. */
  readonly schedule: string;
  /** Statements of the entry point. */
  readonly body: readonly string[];
}

const columns = 96;

export class Module implements Library {
  readonly kernel: Kernel;
  readonly profile: DeviceProfile;
  /** Names of the module, and those inside the entry point. */
  readonly names: Names;
  readonly locals: Names;
  readonly entryPoint: string;
  readonly bindings: readonly WgslBinding[];
  readonly #sizes: string;
  readonly #symbols = new Map<string, string>();
  readonly #used = new Set<FunctionName>();
  readonly #shared: string[] = [];
  readonly #functions: string[][] = [];
  readonly #halves = new Map<number, string>();
  readonly #parameters = new Map<string, string>();

  constructor(kernel: Kernel, profile: DeviceProfile) {
    this.kernel = kernel;
    this.profile = profile;
    const names = new Names();
    names.reserve(functionNames);
    this.names = names;
    this.locals = names.child();
    this.entryPoint = names.fresh(kernel.name, "kernel");
    this.bindings = kernel.arguments.map(({ name, access }, argument) =>
      ({ argument, name: names.fresh(tensorName(name)), access }));
    this.#sizes = names.fresh("sizes");
    const fields = new Names();
    for (const symbol of kernel.symbols) this.#symbols.set(symbol, fields.fresh(symbol, "size"));
  }

  use(name: FunctionName): string {
    this.#used.add(name);
    return name;
  }

  /** A size as an i32 expression. */
  size(dim: Dim): Text {
    if (typeof dim === "number") return primary(String(dim));
    const terms = [...dim.terms].map(([key, c]) => {
      const factors = key === "" ? [] : key.split("*")
        .map((name) => `${this.#sizes}.${this.#symbols.get(name)}`);
      if (factors.length === 0 || Math.abs(c) !== 1) factors.push(String(Math.abs(c)));
      return { negative: c < 0, text: factors.join(" * ") };
    });
    // A leading minus would need parentheses; some term of a size is positive.
    terms.sort((x, y) => Number(x.negative) - Number(y.negative));
    const text = terms.map(({ negative, text }, i) =>
      i === 0 ? text : negative ? ` - ${text}` : ` + ${text}`).join("");
    return { text, binds: terms.length > 1 ? "sum" : text.includes("*") ? "product" : "primary" };
  }

  /** An element as a number: a place to write to, or what to read. */
  element(buffer: number, index: string): string {
    if (this.#storage(buffer) === "f16") return `${this.#halfAt(buffer)}(${index})`;
    return `${(this.bindings[buffer] as WgslBinding).name}[${index}]`;
  }

  #storage(buffer: number): Storage | undefined {
    return this.kernel.arguments[buffer]?.storage;
  }

  /** The function that reads a tensor of halves. */
  #halfAt(buffer: number): string {
    const known = this.#halves.get(buffer);
    if (known !== undefined) return known;
    const { name } = this.bindings[buffer] as WgslBinding;
    const made = this.names.fresh(`${name}_at`);
    this.#halves.set(buffer, made);
    const read = this.profile.features.f16
      ? `f32(${name}[index])` : `unpack2x16float(${name}[index >> 1u])[index & 1]`;
    this.define([`fn ${made}(index: i32) -> f32 {`, `  return ${read};`, "}"]);
    return made;
  }

  /** Number of this invocation within its subgroup, and how many a full one has, as u32. */
  subgroup(): { readonly lane: string; readonly size: string } {
    return {
      lane: this.#builtin("subgroup_invocation_id", "sublane", "u32"),
      size: this.#builtin("subgroup_size", "sublanes", "u32"),
    };
  }

  /** Language features that must be asked for. */
  #enables(): string[] {
    const hasHalves = this.bindings.some((_, i) => this.#storage(i) === "f16");
    return [
      ...(hasHalves && this.profile.features.f16 ? ["enable f16;"] : []),
      ...(this.#parameters.has("@builtin(subgroup_size)") ? ["enable subgroups;"] : []),
    ];
  }

  /** Element type of a tensor in memory; halves without f16 are read as pairs. */
  #elementType(buffer: number): string {
    const storage = this.#storage(buffer) as Storage;
    return storage === "f16" && !this.profile.features.f16 ? "u32" : storage;
  }

  /** Declares an array that the invocations of a workgroup share. */
  shared(wanted: string, type: string, length: number, comment?: string): string {
    const name = this.names.fresh(wanted);
    const line = `var<workgroup> ${name}: array<${type}, ${length}>;`;
    this.#shared.push(comment === undefined ? line : `${line}  // ${comment}`);
    return name;
  }

  /** Adds a function of the kernel's own. */
  define(lines: readonly string[]): void {
    this.#functions.push([...lines]);
  }

  /** Number of this invocation within its workgroup, as u32. */
  lane(): string {
    return this.#builtin("local_invocation_index", "lane", "u32");
  }

  /** Number of this invocation among all, as u32, for workgroups of `size`. */
  invocation(grid: Entry["grid"], size: number): string {
    if (this.#dimensions(grid) === 1) {
      return `${this.#builtin("global_invocation_id", "id", "vec3u")}.x`;
    }
    return `(${this.group(grid)}) * ${size}u + ${this.lane()}`;
  }

  /** Number of this workgroup, as u32, for a grid of so many. */
  group(grid: Entry["grid"]): string {
    const group = this.#builtin("workgroup_id", "group", "vec3u");
    const dimensions = this.#dimensions(grid);
    if (dimensions === 1) return `${group}.x`;
    const groups = this.#builtin("num_workgroups", "groups", "vec3u");
    const plane = dimensions === 3 ? `(${group}.z * ${groups}.y + ${group}.y)` : `${group}.y`;
    return `${plane} * ${groups}.x + ${group}.x`;
  }

  #dimensions(grid: Entry["grid"]): 1 | 2 | 3 {
    return dimensionsFor(staticCount(grid), this.profile.workgroupsPerDimension);
  }

  /** Exactly the workgroups of the grid run; a folded grid may have some more. */
  isLine(grid: Entry["grid"]): boolean {
    return this.#dimensions(grid) === 1;
  }

  #builtin(builtin: string, wanted: string, type: string): string {
    const key = `@builtin(${builtin})`;
    const known = this.#parameters.get(key);
    if (known !== undefined) return known.slice(0, known.indexOf(":"));
    const name = this.locals.fresh(wanted);
    this.#parameters.set(key, `${name}: ${type}`);
    return name;
  }

  finish({ workgroupSize, grid, schedule, body }: Entry): WgslKernel {
    const parameters = [...this.#parameters].map(([key, typed]) => `${key} ${typed}`);
    const factors: GridFactor[] = grid.filter(({ size }) => size !== 1)
      .map(({ size, per }) => ({ size: String(size), per }));
    const dispatch = { grid: factors, dimensions: this.#dimensions(grid) };
    const parts = [
      [provenance(this.kernel), `// ${schedule}`, dispatchComment(dispatch)],
      this.#enables(),
      this.#bindingLines(),
      this.#shared,
      ...sourcesOf(this.#used).map((text) => text.split("\n")),
      ...this.#functions,
      [
        `@compute @workgroup_size(${workgroupSize})`,
        ...signature(this.entryPoint, parameters),
        ...indent(body),
        "}",
      ],
    ];
    return {
      source: `${parts.filter((part) => part.length > 0).map((p) => p.join("\n")).join("\n\n")}\n`,
      entryPoint: this.entryPoint, workgroupSize, bindings: this.bindings,
      sizes: this.kernel.symbols, dispatch,
    };
  }

  #bindingLines(): string[] {
    const lines = this.bindings.map(({ argument, name, access }) => {
      const mode = access === "read" ? "read" : "read_write";
      const type = this.#elementType(argument);
      return `@group(0) @binding(${argument}) var<storage, ${mode}> ${name}: array<${type}>;`;
    });
    if (this.#symbols.size === 0) return lines;
    const type = this.names.fresh("Sizes");
    const fields = [...this.#symbols.values()].map((name) => `  ${name}: i32,`);
    const binding = `@group(0) @binding(${lines.length}) var<uniform> ${this.#sizes}: ${type};`;
    return [...lines, binding, "", `struct ${type} {`, ...fields, "}"];
  }
}

/** Workgroups of a grid; undefined when a size is symbolic. */
export function staticCount(grid: Entry["grid"]): number | undefined {
  let count = 1;
  for (const { size, per } of grid) {
    if (typeof size !== "number") return undefined;
    count *= Math.ceil(size / per);
  }
  return count;
}

/** One comment line: the ONNX nodes that the kernel computes. */
function provenance({ name, origin }: Kernel): string {
  // Anything that could end a line of WGSL would end the comment.
  const clean = (origin.length > 0 ? origin : [name]).map((o) => o.replace(/[^ -~]+/g, " "));
  let line = `// from: ${clean[0]?.slice(0, columns - 9)}`;
  for (const [i, next] of clean.slice(1).entries()) {
    const longer = `${line}, ${next}`;
    if (longer.length > columns - 12) return `${line} and ${clean.length - 1 - i} more`;
    line = longer;
  }
  return line;
}

function signature(name: string, parameters: readonly string[]): string[] {
  const short = `fn ${name}(${parameters.join(", ")}) {`;
  if (short.length <= columns) return [short];
  return [`fn ${name}(`, ...parameters.map((p) => `  ${p},`), ") {"];
}

/** Product of extents as an i32 expression. */
export const extentOf = (axes: readonly { readonly extent: Dim }[]): Dim =>
  productOf(axes.map((a) => a.extent));
