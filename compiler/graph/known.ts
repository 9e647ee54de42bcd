/**
 * What is known of a value's elements while a graph is being built: numbers and symbolic sizes.
 * This is how `Shape -> Gather -> Concat -> Reshape` chains disappear at import: the importer asks
 * for the elements of the shape operand and gets sizes such as "49*N".
 *
 * Only small integer values are followed, by evaluating primitives; where an operand holds symbols,
 * movement still works (elements are moved by number) and sums and products are done on sizes.
 */
import { primitiveOf } from "../ops/registry.ts";
import {
  addDims, dimAtLeast, dimsEqual, divDimsExact, isStatic, mulDims, subDims, type Dim,
} from "./dim.ts";
import { isFloat } from "./dtype.ts";
import {
  constantOf, isOp, isRandom, type BinaryOp, type Node, type PrimName, type Value,
} from "./graph.ts";
import { elementAt, sizeOf, tensor, type Tensor } from "./tensor.ts";

/** Shapes, starts, axes are short; data is not followed. */
const LIMIT = 4096;

type Elements = readonly Dim[];

const sums: Partial<Record<BinaryOp, (a: Dim, b: Dim) => Dim | undefined>> = {
  add: addDims,
  sub: subDims,
  mul: mulDims,
  div: divDimsExact,
  eq: (a, b) => (dimsEqual(a, b) ? 1 : isLess(a, b) || isLess(b, a) ? 0 : undefined),
  lt: (a, b) => (isLess(a, b) ? 1 : dimAtLeast(a, b) ? 0 : undefined),
  le: (a, b) => (dimAtLeast(b, a) ? 1 : isLess(b, a) ? 0 : undefined),
  max: (a, b) => (dimAtLeast(a, b) ? a : dimAtLeast(b, a) ? b : undefined),
  min: (a, b) => (dimAtLeast(a, b) ? b : dimAtLeast(b, a) ? a : undefined),
};

/** For all sizes >= 0 that the symbols may have; false also where it depends on them. */
const isLess = (a: Dim, b: Dim): boolean => dimAtLeast(b, addDims(a, 1));

export class KnownValues {
  readonly #cache = new Map<Value, Elements | undefined>();

  /** Elements of `v` in row-major order, or undefined when they depend on data. */
  elements(v: Value): Elements | undefined {
    if (!this.#cache.has(v)) this.#cache.set(v, this.#compute(v));
    return this.#cache.get(v);
  }

  /** As numbers; undefined when unknown or symbolic. */
  numbers(v: Value): readonly number[] | undefined {
    const elements = this.elements(v);
    return elements && isStatic(elements) ? elements : undefined;
  }

  #compute(v: Value): Elements | undefined {
    const { node } = v;
    if (!node || !isStatic(v.type.shape) || sizeOf(v.type.shape) > LIMIT) return undefined;
    const held = constantOf(v);
    if (held) return Array.from({ length: sizeOf(held.shape) }, (_, i) => elementAt(held, i));
    if (isOp(node, "size")) return [node.attrs.dim];
    if (isRandom(node)) return undefined;
    const operands = node.inputs.map((x) => this.#operand(node, x));
    if (operands.some((e) => e === undefined)) return this.#partial(node);
    const known = operands as Elements[];
    return known.every(isStatic) && attributesAreStatic(node)
      ? this.#evaluate(node, known as (readonly number[])[]) : symbolic(node, known);
  }

  #operand(node: Node, v: Value): Elements | undefined {
    // A reduction or slice of something large is not shape arithmetic.
    return isStatic(v.type.shape) && sizeOf(v.type.shape) <= LIMIT && !isRandom(node)
      ? this.elements(v) : undefined;
  }

  #evaluate(node: Node, known: readonly (readonly number[])[]): Elements {
    const tensors = node.inputs.map((x, i) =>
      asTensor(x, known[i] as readonly number[]));
    const out = primitiveOf(node.op).evaluate(tensors, node.attrs, "f64");
    // A size has one zero; floats keep both.
    const nothing = isFloat(out.dtype) ? -0 : 0;
    return Array.from({ length: sizeOf(out.shape) }, (_, i) => elementAt(out, i) + nothing);
  }

  /** A choice whose condition is known needs only the branch taken. */
  #partial(node: Node): Elements | undefined {
    if (!isOp(node, "where")) return undefined;
    const cond = this.numbers(node.inputs[0] as Value);
    if (!cond) return undefined;
    const [a, b] = [node.inputs[1], node.inputs[2]].map((x) => this.elements(x as Value));
    const picked = cond.map((c, i) => (c ? a?.[i] : b?.[i]));
    return picked.every((d) => d !== undefined) ? picked as Dim[] : undefined;
  }
}

function asTensor(v: Value, elements: readonly number[]): Tensor {
  const shape = v.type.shape as readonly number[];
  // Float64 keeps every integer exact and every float as it was.
  return isFloat(v.type.dtype)
    ? { dtype: v.type.dtype, shape, data: Float64Array.from(elements), splat: false }
    : tensor(v.type.dtype, shape, elements);
}

const attributesAreStatic = (node: Node): boolean =>
  Object.values(node.attrs as object).every((a) => !(typeof a === "object" && a !== null &&
    ("terms" in a || (Array.isArray(a) && a.some((d) => typeof d === "object")))));

const movers = new Set<PrimName>([
  "reshape", "transpose", "broadcast", "slice", "flip", "concat", "gather",
]);

function symbolic(node: Node, known: readonly Elements[]): Elements | undefined {
  const { op } = node;
  if (movers.has(op) && attributesAreStatic(node)) return moved(node, known);
  const dtype = node.outputs[0]?.type.dtype ?? "float32";
  if (op === "cast") return isFloat(dtype) ? undefined : known[0];
  const rule = sums[op as BinaryOp];
  if (rule) {
    const [a, b] = known as [Elements, Elements];
    const out = a.map((d, i) => rule(d, b[i] as Dim));
    return out.every((d) => d !== undefined) ? out as Dim[] : undefined;
  }
  if (isOp(node, "where")) {
    const [cond, a, b] = known as [Elements, Elements, Elements];
    return isStatic(cond) ? cond.map((c, i) => (c ? a[i] : b[i]) as Dim) : undefined;
  }
  if (isOp(node, "reduce") && node.outputs[0]?.type.shape.length === 0) {
    const [all] = known as [Elements];
    if (node.attrs.kind === "prod") return [all.reduce(mulDims, 1 as Dim)];
    if (node.attrs.kind === "sum") return [all.reduce(addDims, 0 as Dim)];
  }
  return undefined;
}

/** Moves sizes by moving their numbers in one common list. */
function moved(node: Node, known: readonly Elements[]): Elements | undefined {
  const all: Dim[] = [];
  const isIndex = (i: number): boolean => node.op === "gather" && i === 1;
  if (node.op === "gather" && !isStatic(known[1] as Elements)) return undefined;
  const tensors = known.map((elements, i) => {
    const numbers = isIndex(i) ? elements as readonly number[]
      : elements.map((d) => all.push(d) - 1);
    return { ...asTensor(node.inputs[i] as Value, numbers), dtype: "int64" as const,
      data: Float64Array.from(numbers), splat: false };
  });
  const out = primitiveOf(node.op).evaluate(tensors, node.attrs, "f64");
  return Array.from({ length: sizeOf(out.shape) }, (_, i) => all[elementAt(out, i)] as Dim);
}
