/**
 * Identifiers for WGSL: readable names made from tensor and axis names, none of which is a word of
 * the language, a built-in that emitted code calls, or taken already. Lists of words:
 * https://www.w3.org/TR/WGSL/#keyword-summary and #reserved-words.
 */

const keywords = `
  alias break case const const_assert continue continuing default diagnostic discard else enable
  false fn for if let loop override requires return struct switch true var while
`;

const reserved = `
  NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become
  cast catch class co_await co_return co_yield coherent column_major common compile
  compile_fragment concept const_cast consteval constexpr constinit crate debugger decltype delete
  demote demote_to_helper do dynamic_cast enum explicit export extends extern external fallthrough
  filter final finally friend from fxgroup get goto groupshared highp impl implements import inline
  instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut mutable
  namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null
  nullptr of operator package packoffset partition pass patch pixelfragment precise precision
  premerge priv protected pub public readonly ref regardless register reinterpret_cast require
  resource restrict self set shared sizeof smooth snorm static static_assert static_cast std
  subroutine super target template this thread_local throw trait try type typedef typeid typename
  typeof union unless unorm unsafe unsized use using varying virtual volatile wgsl where with
  writeonly yield
`;

/** Types and functions of the language that emitted code uses: shadowing them would change it. */
const builtins = `
  abs array atomic bitcast bool ceil clamp cosh exp exp2 f16 f32 floor fma function i32 log log2
  max min private read read_write round select sign sqrt storage storageBarrier subgroupAdd
  subgroupAny subgroupElect subgroupMax subgroupMin subgroupMul trunc u32 uniform unpack2x16float
  vec2f vec3u vec4f vec4i vec4u workgroup workgroupBarrier workgroupUniformLoad write
`;

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");
const languageNames: ReadonlySet<string> = new Set(
  [keywords, reserved, builtins].flatMap(words),
);

const longest = 24;

/** Letters, digits and single underscores of `text`, starting with a letter. */
function identifier(text: string, fallback: string): string {
  const plain = text.replace(/[^A-Za-z0-9]+/g, "_").replace(/^[_0-9]+|_$/g, "");
  return plain === "" ? fallback : plain;
}

/**
 * A short name for a tensor: the last part of an ONNX path, without the "_output_0" of exporters
 * ("/block/0/Relu_output_0" is "Relu").
 */
export function tensorName(text: string): string {
  const last = text.split("/").findLast((part) => part !== "") ?? text;
  const plain = identifier(last.replace(/_output_0$/, ""), "tensor");
  return plain.slice(0, longest).replace(/_$/, "");
}

/**
 * Hands out names, each once. A child (a function in its module) avoids the names of its parent,
 * and the parent those of its children, but two children may use the same.
 */
export class Names {
  readonly #taken: Set<string>;
  readonly #parent: Names | undefined;
  readonly #children: Names[] = [];

  constructor(parent?: Names) {
    this.#parent = parent;
    this.#taken = new Set(parent ? [] : languageNames);
  }

  /** `wanted` as an identifier, with a number after it where that is taken. */
  fresh(wanted: string, fallback = "value"): string {
    const base = identifier(wanted, fallback);
    let name = base;
    for (let n = 2; this.#isTaken(name); n++) name = `${base}_${n}`;
    this.#taken.add(name);
    return name;
  }

  /** One fresh name per wish. */
  all<const Wishes extends readonly string[]>(
    ...wishes: Wishes
  ): { readonly [K in Wishes[number]]: string } {
    return Object.fromEntries(wishes.map((w) => [w, this.fresh(w)])) as
      { readonly [K in Wishes[number]]: string };
  }

  #isTaken(name: string): boolean {
    return this.#taken.has(name) || (this.#parent?.isOwn(name) ?? false) ||
      this.#children.some((child) => child.isOwn(name));
  }

  isOwn(name: string): boolean {
    return this.#taken.has(name);
  }

  /** Keeps names that the module declares by itself. */
  reserve(names: Iterable<string>): void {
    for (const name of names) this.#taken.add(name);
  }

  child(): Names {
    const child = new Names(this);
    this.#children.push(child);
    return child;
  }
}
