/**
 * Reads the text form of a graph (grammar: `print.ts`). Types of nodes may be left out; where they
 * are given they must be the inferred ones. Nothing is shared or simplified on the way, so that
 * what is read is what was printed.
 */
import { InternalError } from "../errors.ts";
import { showType } from "../ops/common.ts";
import { primitiveOf } from "../ops/registry.ts";
import { shapesEqual } from "./dim.ts";
import { canHold, dtypes, type DType } from "./dtype.ts";
import type { Graph, Node, PrimAttrs, PrimName, TensorType, Value } from "./graph.ts";
import { attrKinds, operandFault, signatures, type AttrKind, type AttrTypes } from "./signature.ts";
import { sizeOf, splat, tensor, type Tensor } from "./tensor.ts";
import { showName, TextReader } from "./text.ts";

const combinations = ["sum", "max", "min", "prod"] as const;
const ops = Object.keys(signatures) as PrimName[];

const readers: { readonly [K in Exclude<AttrKind, "tensor">]: (r: TextReader) => AttrTypes[K] } = {
  integer: (r) => r.integer(),
  integers: (r) => r.list(() => r.integer()),
  number: (r) => r.number(),
  size: (r) => r.size(),
  sizes: (r) => r.list(() => r.size()),
  flag: (r) => r.choice(["true", "false"], "a flag") === "true",
  dtype: readDType,
  reduce: (r) => r.choice(combinations, "a reduction"),
  running: (r) => r.choice(["sum", "prod"], "a running reduction"),
  scatter: (r) => r.choice(["none", "add", "mul", "max", "min"], "a combination"),
};

function readDType(r: TextReader): DType {
  return r.choice(dtypes, "an element type");
}

function readType(r: TextReader): TensorType {
  const dtype = readDType(r);
  const at = r.position;
  const shape = r.list(() => r.size());
  const negative = shape.find((d) => typeof d === "number" && d < 0);
  if (negative !== undefined) r.fail("sizes of 0 or more", { at, actual: String(negative) });
  return { dtype, shape };
}

/** `{name = value, ...}`: every attribute of the primitive, once, in any order. */
function readAttrs(r: TextReader, op: PrimName): PrimAttrs[PrimName] {
  const kinds = new Map(attrKinds(op));
  const found = new Map<string, unknown>();
  const start = r.position;
  if (r.skips("{") && !r.skips("}")) {
    do {
      const at = r.position;
      const name = r.word("an attribute name");
      const kind = kinds.get(name);
      if (kind === undefined || kind === "tensor") {
        return r.fail(kinds.size === 0 ? `no attribute, ${op} has none`
          : `an attribute of ${op} (${[...kinds.keys()].join(", ")})`, { at });
      }
      if (found.has(name)) r.fail("each attribute once", { at });
      r.expect("=");
      found.set(name, readers[kind](r));
    } while (r.skips(","));
    r.expect("}");
  }
  const missing = [...kinds.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) {
    r.fail(`the attribute(s) ${missing.join(", ")} of ${op}`, { at: start, actual: "none" });
  }
  return Object.fromEntries([...kinds.keys()].map((name) => [name, found.get(name)])) as
    PrimAttrs[PrimName];
}

/** A constant's tensor; its type stands behind the elements, so it is read from there. */
function readConstant(r: TextReader, tensors: ReadonlyMap<string, Tensor>): Tensor {
  const at = r.position;
  if (r.skips("@")) {
    const name = r.name("the name of a tensor");
    const held = tensors.get(name) ?? r.fail(`a tensor that was given with the text`, {
      at, actual: `"@${name}"`, remedy: "Give the tensors that were printed with the graph",
    });
    const typeAt = r.position;
    const type = constantType(r);
    if (type.dtype !== held.dtype || !shapesEqual(type.shape, held.shape)) {
      r.fail(`the type of @${showName(name)}, ${showType(held)}`, {
        at: typeAt, actual: showType(type),
      });
    }
    return held;
  }
  const isSplat = r.skipsWord("splat");
  const isList = !isSplat && r.nextIs("[");
  const elements = isList ? r.list(() => r.number()) : [r.number()];
  const type = constantType(r);
  const count = sizeOf(type.shape);
  if (isSplat || (isList ? type.shape.length > 0 : type.shape.length === 0)) {
    if (!isSplat && elements.length !== count) {
      r.fail(`${count} elements`, { at, actual: `${elements.length}` });
    }
  } else r.fail(isList ? "a number, or the shape of a list" : "a list, or shape []", { at });
  const bad = elements.find((x) => !canHold(type.dtype, x));
  if (bad !== undefined) r.fail(`elements that ${type.dtype} holds`, { at, actual: `${bad}` });
  return isSplat ? splat(type.dtype, type.shape, elements[0] as number)
    : tensor(type.dtype, type.shape, elements);
}

function constantType(r: TextReader): { dtype: DType; shape: readonly number[] } {
  r.expect(":");
  const at = r.position;
  const { dtype, shape } = readType(r);
  if (!shape.every((d) => typeof d === "number")) {
    r.fail("a constant's shape in numbers", { at, actual: showType({ dtype, shape }) });
  }
  return { dtype, shape: shape as readonly number[] };
}

class GraphReader {
  readonly #r: TextReader;
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #values = new Map<string, Value>();
  readonly #inputs: Value[] = [];
  readonly #nodes: Node[] = [];
  readonly #outputs: { name: string; value: Value }[] = [];
  #ids = 0;

  constructor(reader: TextReader, tensors: ReadonlyMap<string, Tensor>) {
    this.#r = reader;
    this.#tensors = tensors;
  }

  #define(value: Value, at: number): void {
    if (this.#values.has(value.name)) this.#r.fail("a name of its own", { at });
    this.#values.set(value.name, value);
  }

  #use(): Value {
    const at = this.#r.position;
    this.#r.expect("%");
    const name = this.#r.name("the name of a value");
    return this.#values.get(name) ?? this.#r.fail("a value defined above", { at });
  }

  #input(): void {
    const at = this.#r.position;
    this.#r.expect("%");
    const name = this.#r.name("the name of an input");
    this.#r.expect(":");
    const value: Value = { id: this.#ids++, name, type: readType(this.#r), index: 0 };
    this.#define(value, at);
    this.#inputs.push(value);
  }

  #output(): void {
    const at = this.#r.position;
    const name = this.#r.name("the name of an output");
    const taken = this.#outputs.some((o) => o.name === name);
    if (taken) this.#r.fail("an output name of its own", { at });
    this.#r.expect("=");
    this.#outputs.push({ name, value: this.#use() });
  }

  #origin(): string[] {
    const names: string[] = [];
    if (!this.#r.skipsWord("from")) return names;
    do names.push(this.#r.string("the name of an ONNX node, in quotes"));
    while (this.#r.skips(","));
    return names;
  }

  #inferred(
    op: PrimName, inputs: readonly Value[], attrs: PrimAttrs[PrimName], at: number,
  ): TensorType {
    const fault = operandFault(op, inputs.length);
    if (fault !== undefined) this.#r.refuse(fault, at);
    try {
      return primitiveOf(op).infer(inputs.map((v) => v.type), attrs);
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
      return this.#r.refuse(error.message.replace(/^internal: /, ""), at);
    }
  }

  #node(): void {
    const r = this.#r;
    const at = r.position;
    r.expect("%");
    const name = r.name("the name of a value");
    r.expect("=");
    const opAt = r.position;
    const word = r.word("a primitive");
    const op = ops.find((known) => known === word) ?? r.fail("a primitive", { at: opAt });
    const inputs: Value[] = [];
    let attrs: PrimAttrs[PrimName];
    let given: TensorType | undefined;
    let typeAt = opAt;
    if (op === "constant") {
      attrs = { tensor: readConstant(r, this.#tensors) };
    } else {
      if (r.nextIs("%")) {
        do inputs.push(this.#use());
        while (r.skips(","));
      }
      attrs = readAttrs(r, op);
      typeAt = r.position;
      if (r.skips(":")) given = readType(r);
    }
    const type = this.#inferred(op, inputs, attrs, opAt);
    if (given && (given.dtype !== type.dtype || !shapesEqual(given.shape, type.shape))) {
      r.fail(`${showType(type)}, which ${op} infers`, { at: typeAt, actual: showType(given) });
    }
    const outputs: Value[] = [];
    const node: Node = { id: this.#ids++, op, inputs, attrs, outputs, origin: this.#origin() };
    const value: Value = { id: this.#ids++, name, type, node, index: 0 };
    outputs.push(value);
    this.#define(value, at);
    this.#nodes.push(node);
  }

  read(): Graph {
    const r = this.#r;
    if (!r.skipsWord("graph")) r.fail("\"graph\"");
    const name = r.name("the name of the graph");
    r.expect("{");
    while (!r.skips("}")) {
      if (r.nextIs("%")) this.#node();
      else if (r.skipsWord("input")) this.#input();
      else if (r.skipsWord("output")) this.#output();
      else r.fail("\"input\", \"output\", a node or \"}\"");
    }
    if (!r.atEnd) r.fail("the end of the text");
    return { name, inputs: this.#inputs, outputs: this.#outputs, nodes: this.#nodes };
  }
}

/**
 * @param tensors what `@name` stands for: the `tensors` that `printGraph` gave with the text
 * @param source how messages call the text, before `:line:column`
 * @throws UserError with the place, what was expected, what is there and a remedy
 */
export function parseGraph(
  text: string, tensors: ReadonlyMap<string, Tensor> = new Map(), source = "graph text",
): Graph {
  return new GraphReader(new TextReader(text, source), tensors).read();
}
