/**
 * Identifiers for kernels and buffers, made from ONNX node names so that emitted code reads like
 * the model: "/conv1/Conv" becomes `conv1_Conv`.
 */

/** Words that WGSL or the emitters use; a leading letter keeps every other collision away. */
const reserved = new Set([
  "var",
  "let",
  "const",
  "fn",
  "if",
  "else",
  "for",
  "while",
  "loop",
  "return",
  "struct",
  "true",
  "false",
  "array",
  "f32",
  "i32",
  "u32",
  "bool",
  "vec2",
  "vec3",
  "vec4",
  "select",
  "enable",
  "main",
  "break",
  "continue",
  "switch",
  "case",
  "default",
  "override",
  "diagnostic",
  "discard",
]);

export function identifier(text: string): string {
  const plain = text.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  const safe = plain === "" ? "value" : /^[0-9]/.test(plain) ? `n${plain}` : plain;
  return reserved.has(safe) ? `${safe}_` : safe;
}

/** Hands out identifiers that differ from all before. */
export class Names {
  readonly #used = new Set<string>();

  take(text: string): string {
    const base = identifier(text).slice(0, 80);
    let name = base;
    for (let n = 2; this.#used.has(name); n++) name = `${base}_${n}`;
    this.#used.add(name);
    return name;
  }
}
