/**
 * Writes a graph as text that a person can read and `parseGraph` turns back into an equal graph:
 *
 *     graph lenet {
 *       input %image: float32[N,1,28,28]
 *       %w = constant @w: float32[6,1,5,5]
 *       %half = constant 0.5: float32[]
 *       %y = conv %image, %w {strides = [1,1], ..., groups = 1}: float32[N,6,24,24] from "/conv1"
 *       output logits = %y
 *     }
 *
 *     graph    = "graph" name "{" { input | node | output } "}"
 *     input    = "input" "%"name ":" type
 *     node     = "%"name "=" op [operands] ["{" attribute = value, ... "}"] [":" type] [origin]
 *     operands = "%"name { "," "%"name }
 *     origin   = "from" string { "," string }       outermost ONNX node first
 *     output   = "output" name "=" "%"name
 *     constant = "constant" ( number | "[" numbers "]" | "splat" number | "@"name )
 *
 * Constants of more than 16 elements, and those whose bits decimals cannot carry, are written as
 * `@name` and handed out beside the text. Names need quotes only for unusual characters; `#` starts
 * a comment. Node order is kept; ids are not part of the form.
 */
import { InternalError } from "../errors.ts";
import { showType } from "../ops/common.ts";
import { dimToString, type Dim } from "./dim.ts";
import { canHold, isFloat } from "./dtype.ts";
import type { Graph, Node, PrimName, Value } from "./graph.ts";
import { attrKinds, type AttrKind, type AttrTypes } from "./signature.ts";
import { newData, sizeOf, type Tensor } from "./tensor.ts";
import { showFloat32, showName, showNumber } from "./text.ts";

export interface PrintedGraph {
  readonly text: string;
  /** What `@name` stands for in the text. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Longest dense constant that is written out. */
const INLINE_ELEMENTS = 16;

const showList = <T>(items: readonly T[], show: (item: T) => string): string =>
  `[${items.map(show).join(",")}]`;

const writers: { readonly [K in Exclude<AttrKind, "tensor">]: (v: AttrTypes[K]) => string } = {
  integer: showNumber,
  integers: (v) => showList(v, showNumber),
  number: showNumber,
  size: dimToString,
  sizes: (v) => showList<Dim>(v, dimToString),
  flag: String,
  dtype: (v) => v,
  reduce: (v) => v,
  running: (v) => v,
  scatter: (v) => v,
};

/** Attributes as `{a = 1, b = [2,3]}`, or nothing where there are none. */
function showAttrs(node: Node<PrimName>): string {
  const kinds = attrKinds(node.op);
  if (kinds.length === 0) return "";
  const attrs = node.attrs as Readonly<Record<string, never>>;
  const parts = kinds.map(([name, kind]) => {
    if (kind === "tensor") throw new InternalError("a tensor among the attributes");
    return `${name} = ${writers[kind](attrs[name] as never)}`;
  });
  return ` {${parts.join(", ")}}`;
}

/** True when writing the elements in decimals and reading them again gives the same bits. */
function survivesDecimals(t: Tensor): boolean {
  const again = newData(t.dtype, t.data.length);
  if (t.data.constructor !== again.constructor) return false;
  if (!isFloat(t.dtype)) return t.data.every((x) => canHold(t.dtype, x));
  t.data.forEach((x, i) => {
    // Decimals name one NaN of many.
    again[i] = Number.isNaN(x) ? NaN : x;
  });
  const bytes = new Uint8Array(again.buffer);
  return new Uint8Array(t.data.slice().buffer).every((byte, i) => byte === bytes[i]);
}

function showConstant(v: Value, t: Tensor, tensors: Map<string, Tensor>): string {
  const isShort = t.splat || sizeOf(t.shape) <= INLINE_ELEMENTS;
  if (!isShort || !survivesDecimals(t)) {
    tensors.set(v.name, t);
    return `@${showName(v.name)}`;
  }
  const show = t.data instanceof Float32Array ? showFloat32 : showNumber;
  const elements = [...t.data];
  if (t.splat) return `splat ${show(elements[0] as number)}`;
  return t.shape.length === 0 ? show(elements[0] as number) : `[${elements.map(show).join(", ")}]`;
}

function showNode(node: Node, tensors: Map<string, Tensor>): string {
  const v = node.outputs[0] as Value;
  const operands = node.inputs.map((x) => `%${showName(x.name)}`).join(", ");
  const body = node.op === "constant"
    ? ` ${showConstant(v, (node as Node<"constant">).attrs.tensor, tensors)}`
    : `${operands === "" ? "" : ` ${operands}`}${showAttrs(node)}`;
  const origin = node.origin.length === 0 ? ""
    : ` from ${node.origin.map((name) => JSON.stringify(name)).join(", ")}`;
  return `%${showName(v.name)} = ${node.op}${body}: ${showType(v.type)}${origin}`;
}

export function printGraph(graph: Graph): PrintedGraph {
  const tensors = new Map<string, Tensor>();
  const lines = [
    ...graph.inputs.map((v) => `input %${showName(v.name)}: ${showType(v.type)}`),
    ...graph.nodes.map((node) => showNode(node, tensors)),
    ...graph.outputs.map(({ name, value }) =>
      `output ${showName(name)} = %${showName(value.name)}`),
  ];
  const body = lines.map((line) => `  ${line}\n`).join("");
  return { text: `graph ${showName(graph.name)} {\n${body}}\n`, tensors };
}
