/**
 * WGSL expressions as text that knows how tightly it binds, and the operators of the kernel IR
 * printed in it. The tables are complete by type: an operator without an entry does not compile,
 * and one that has no meaning on a type says so when it is asked for.
 */
import { InternalError } from "../../errors.ts";
import type { ExprBinary, ExprUnary, ScalarType } from "../../kernels/expr.ts";
import type { FunctionName } from "./functions.ts";

/** From loosest to tightest; `loose` is for operators that WGSL never lets stand beside others. */
const binding = {
  loose: 0, or: 1, and: 2, relation: 3, sum: 4, product: 5, unary: 6, primary: 7,
} as const;
type Binding = keyof typeof binding;

export interface Text {
  readonly text: string;
  readonly binds: Binding;
}

export const primary = (text: string): Text => ({ text, binds: "primary" });
export const isPrimary = (t: Text): boolean => t.binds === "primary";
/** A `>` in an argument could end a template list that a `<` in another seems to begin. */
const argument = (a: Text): string => (a.text.includes(">>") ? `(${a.text})` : a.text);
export const call = (name: string, ...args: readonly Text[]): Text =>
  primary(`${name}(${args.map(argument).join(", ")})`);

/** The text, in parentheses if it binds less than `least`. */
const inside = (t: Text, least: Binding): string =>
  binding[t.binds] >= binding[least] ? t.text : `(${t.text})`;

function infix(operator: string, binds: Binding, a: Text, b: Text): Text {
  if (binds === "loose") {
    return { text: `${inside(a, "unary")} ${operator} ${inside(b, "unary")}`, binds };
  }
  if (binds === "relation") {
    return { text: `${inside(a, "sum")} ${operator} ${inside(b, "sum")}`, binds };
  }
  if (binds === "and" || binds === "or") {
    const chained = (t: Text): string => (t.binds === binds ? t.text : inside(t, "relation"));
    return { text: `${chained(a)} ${operator} ${chained(b)}`, binds };
  }
  // Left-associative, and the order of float operations is kept as it is.
  const right = binds === "sum" ? "product" : "unary";
  return { text: `${inside(a, binds)} ${operator} ${inside(b, right)}`, binds };
}

const prefix = (operator: string, a: Text): Text =>
  ({ text: `${operator}${inside(a, "primary")}`, binds: "unary" });

const bits = (value: number): string => {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return `0x${view.getUint32(0).toString(16).padStart(8, "0")}u`;
};

const largest = (2 - 2 ** -23) * 2 ** 127;

/** Shortest decimal that reads back as the same f32, always with a point or an exponent. */
function decimal(value: number): string {
  for (let digits = 1; digits <= 17; digits++) {
    const text = value.toPrecision(digits);
    // Nothing above the largest f32 may be written, even if it would round to it.
    const isOver = Math.abs(Number(text)) > largest;
    if (Math.fround(Number(text)) !== value || isOver) continue;
    const short = String(Number(text)).replace("e+", "e");
    return /[.e]/.test(short) ? short : `${short}.0`;
  }
  throw new InternalError(`${value} is not a float32`);
}

const smallestNormal = 2 ** -126;

/** What printing needs of the module: registers a library function and gives its name. */
export interface Library {
  use(name: FunctionName): string;
}

export function literal(value: number, type: ScalarType, library: Library): Text {
  const sign: Binding = value < 0 || Object.is(value, -0) ? "unary" : "primary";
  switch (type) {
    case "bool": return primary(value ? "true" : "false");
    case "i32": return { text: String(value), binds: sign };
    case "u32": return primary(`${value}u`);
    case "f32":
      if (Object.is(value, -0)) return { text: "-0.0", binds: sign };
      if (!Number.isFinite(value) || (value !== 0 && Math.abs(value) < smallestNormal)) {
        return primary(`${library.use("as_f32")}(${bits(value)})`);
      }
      return { text: decimal(Math.fround(value)), binds: sign };
  }
}

type Unary = (a: Text, library: Library) => Text;
type Binary = (a: Text, b: Text, library: Library, typeOfB: ScalarType) => Text;
type PerType<F> = { readonly [T in ScalarType]?: F };

const builtin = (name: string): Unary => (a) => call(name, a);
const helper = (name: FunctionName): Unary => (a, library) => call(library.use(name), a);
const same: Unary = (a) => a;
const onFloat = (f32: Unary): PerType<Unary> => ({ f32 });
/** Rounding changes no integer. */
const rounding = (name: string): PerType<Unary> => ({ f32: builtin(name), i32: same, u32: same });
const unaryTable: Record<ExprUnary, PerType<Unary>> = {
  neg: {
    f32: (a) => prefix("-", a), i32: (a) => prefix("-", a),
    u32: (a) => infix("-", "sum", primary("0u"), a),
  },
  abs: { f32: builtin("abs"), i32: builtin("abs"), u32: same },
  sign: { f32: helper("sign_of"), i32: builtin("sign"), u32: (a) => call("min", a, primary("1u")) },
  floor: rounding("floor"),
  ceil: rounding("ceil"),
  round: rounding("round"),
  trunc: rounding("trunc"),
  exp: onFloat(builtin("exp")),
  log: onFloat(helper("precise_log")),
  sqrt: onFloat(builtin("sqrt")),
  sin: onFloat(helper("precise_sin")),
  cos: onFloat(helper("precise_cos")),
  tan: onFloat(helper("precise_tan")),
  asin: onFloat(helper("precise_asin")),
  acos: onFloat(helper("precise_acos")),
  atan: onFloat(helper("precise_atan")),
  sinh: onFloat(helper("precise_sinh")),
  cosh: onFloat(helper("precise_cosh")),
  tanh: onFloat(helper("precise_tanh")),
  asinh: onFloat(helper("precise_asinh")),
  acosh: onFloat(helper("precise_acosh")),
  atanh: onFloat(helper("precise_atanh")),
  erf: onFloat(helper("erf")),
  not: { bool: (a) => prefix("!", a) },
  bitnot: { i32: (a) => prefix("~", a), u32: (a) => prefix("~", a) },
  isnan: {
    f32: helper("is_nan"), i32: () => primary("false"), u32: () => primary("false"),
    bool: () => primary("false"),
  },
};

const arithmetic = (operator: string, binds: Binding): PerType<Binary> => {
  const print: Binary = (a, b) => infix(operator, binds, a, b);
  return { f32: print, i32: print, u32: print };
};
const binaryCall = (name: string): Binary => (a, b) => call(name, a, b);
const binaryHelper = (name: FunctionName): Binary => (a, b, library) =>
  call(library.use(name), a, b);
const bitwise = (operator: string, logical: Binary): PerType<Binary> => {
  const print: Binary = (a, b) => infix(operator, "loose", a, b);
  return { i32: print, u32: print, bool: logical };
};
const relation = (operator: string, logical: Binary): PerType<Binary> =>
  ({ ...arithmetic(operator, "relation"), bool: logical });
const not = (a: Text): Text => prefix("!", a);
const either = (a: Text, b: Text): Text => infix("||", "or", a, b);
const both = (a: Text, b: Text): Text => infix("&&", "and", a, b);

/** WGSL refuses a division by a constant zero; the kernel IR leaves its value open. */
const whole = (operator: string): Binary => (a, b) =>
  b.text === "0" || b.text === "0u" ? b : infix(operator, "product", a, b);

/** Counts are unsigned in WGSL, and a constant one must be below 32. */
const shift = (operator: string, name: FunctionName): Binary =>
  (a, count, library, typeOfCount) => {
    const known = /^(\d+)u?$/.exec(count.text);
    if (known && Number(known[1]) < 32) {
      return infix(operator, "loose", a, primary(`${known[1]}u`));
    }
    return call(library.use(name), a, castText(count, typeOfCount, "u32", library));
  };

/** Exponents with a shorter form; on -Infinity the roots give NaN where a power gives no sign. */
const powers: Readonly<Record<string, Unary>> = {
  "1.0": same,
  "2.0": helper("square"),
  "3.0": helper("cube"),
  "0.5": builtin("sqrt"),
  "-1.0": (a) => infix("/", "product", primary("1.0"), a),
  "-0.5": (a) => infix("/", "product", primary("1.0"), call("sqrt", a)),
};

const binaryTable: Record<ExprBinary, PerType<Binary>> = {
  add: arithmetic("+", "sum"),
  sub: arithmetic("-", "sum"),
  mul: arithmetic("*", "product"),
  div: { f32: (a, b) => infix("/", "product", a, b), i32: whole("/"), u32: whole("/") },
  rem: { f32: binaryHelper("remainder"), i32: whole("%"), u32: whole("%") },
  pow: {
    f32: (a, b, library) =>
      powers[b.text]?.(a, library) ?? call(library.use("power"), a, b),
    i32: binaryHelper("power_i32"), u32: binaryHelper("power_u32"),
  },
  max: {
    f32: binaryHelper("maximum"), i32: binaryCall("max"), u32: binaryCall("max"), bool: either,
  },
  min: {
    f32: binaryHelper("minimum"), i32: binaryCall("min"), u32: binaryCall("min"), bool: both,
  },
  and: bitwise("&", both),
  or: bitwise("|", either),
  xor: bitwise("^", (a, b) => infix("!=", "relation", a, b)),
  shl: { i32: shift("<<", "shift_left_i32"), u32: shift("<<", "shift_left_u32") },
  shr: { i32: shift(">>", "shift_right_i32"), u32: shift(">>", "shift_right_u32") },
  eq: relation("==", (a, b) => infix("==", "relation", a, b)),
  lt: relation("<", (a, b) => both(not(a), b)),
  le: relation("<=", (a, b) => either(not(a), b)),
};

export function unaryText(op: ExprUnary, type: ScalarType, a: Text, library: Library): Text {
  const print = unaryTable[op][type];
  if (!print) throw new InternalError(`${op} has no meaning on ${type}`);
  return print(a, library);
}

/** @param typeOfB may differ from `type` for the counts of shifts only */
export function binaryText(
  op: ExprBinary, type: ScalarType, a: Text, b: Text, library: Library, typeOfB = type,
): Text {
  const print = binaryTable[op][type];
  if (!print) throw new InternalError(`${op} has no meaning on ${type}`);
  return (op === "add" && type === "i32" && (difference(a, b) ?? difference(b, a))) ||
    print(a, b, library, typeOfB);
}

/** a + -3 and a + x * -3 read better as differences; wrapping integers give the same. */
function difference(a: Text, b: Text): Text | undefined {
  const negative = /^(.* \* )?-(\d+)$/.exec(b.text);
  // The smallest i32 has no positive counterpart.
  if (!negative || b.binds === "sum" || negative[2] === "2147483648") return undefined;
  const [, factor, value] = negative;
  const text = value === "1" && factor ? factor.slice(0, -3) : `${factor ?? ""}${value}`;
  return infix("-", "sum", a, { text, binds: factor ? "product" : "primary" });
}

export const selectText = (cond: Text, a: Text, b: Text): Text => call("select", b, a, cond);

/** Conversion of a value; float to integer saturates, anything to bool is `!= 0`. */
export function castText(a: Text, from: ScalarType, to: ScalarType, library: Library): Text {
  if (from === to) return a;
  // WGSL's != is false on NaN.
  if (to === "bool" && from === "f32") return not(infix("==", "relation", a, primary("0.0")));
  if (to === "bool") return infix("!=", "relation", a, primary(from === "u32" ? "0u" : "0"));
  if (from === "f32") return call(library.use(to === "i32" ? "to_i32" : "to_u32"), a);
  return call(to, a);
}
