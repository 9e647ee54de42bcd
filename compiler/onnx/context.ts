/**
 * What a rule is given: the builder, the node's operands, its attributes by type, and what is
 * known of shapes and elements while the graph is being built. Every complaint names the node.
 */
import { UserError } from "../errors.ts";
import type { Builder } from "../graph/builder.ts";
import {
  dimsEqual, divDimsExact, isStatic, symbolsOf, type Dim,
} from "../graph/dim.ts";
import type { DType } from "../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../graph/graph.ts";
import { elementAt, sizeOf, type Tensor } from "../graph/tensor.ts";
import { dtypeOf, elementTypeName } from "./elementTypes.ts";
import type { Attribute, OnnxGraph, OnnxNode, TensorSource } from "./model.ts";
import { readTensor } from "./readTensor.ts";
import { NeedsConcrete, NeedsValue, UnsupportedError } from "./refusal.ts";

/** What the importer does for a rule. */
export interface ImportServices {
  readonly builder: Builder;
  /** Elements that follow from the graph alone. */
  known(v: Value): readonly Dim[] | undefined;
  /** The tensor that `v` has for the given inputs; undefined when there are none. */
  host(v: Value, node: OnnxNode): Tensor | undefined;
  /** Graph inputs that `v` is computed from, and symbolic sizes that occur on the way. */
  dependsOn(v: Value): { readonly inputs: readonly string[]; readonly symbols: readonly string[] };
  /** Lowers a subgraph whose inputs stand for `operands`; outer names are in reach. */
  subgraph(graph: OnnxGraph, operands: readonly Value[]): Value[];
  note(text: string): void;
}

/** Values of an attribute kind, and what messages call it. */
type ValueOf<K extends Attribute["kind"]> =
  Exclude<Extract<Attribute, { kind: K }>["value"], undefined>;

export class RuleContext {
  readonly b: Builder;
  readonly node: OnnxNode;
  /** Version of the node's domain that is in force. */
  readonly opset: number;
  /** Where this node is, for messages. */
  readonly place: string;
  readonly #operands: readonly (Value | undefined)[];
  readonly #services: ImportServices;

  constructor(
    node: OnnxNode, opset: number, operands: readonly (Value | undefined)[],
    services: ImportServices, file: string,
  ) {
    this.b = services.builder;
    this.node = node;
    this.opset = opset;
    this.place = `${file}, node "${node.name}" (${node.operator})`;
    this.#operands = operands;
    this.#services = services;
  }

  // ---- complaints --------------------------------------------------------------------------

  fail(sentence: string, remedy = "correct the model, or export it again"): never {
    throw new UserError(sentence, { place: this.place, remedy });
  }

  unsupported(sentence: string, remedy?: string): never {
    throw new UnsupportedError(sentence, this.place, remedy);
  }

  check(condition: boolean, sentence: string): void {
    if (!condition) this.fail(sentence);
  }

  note(text: string): void {
    this.#services.note(`${this.node.name}: ${text}`);
  }

  // ---- operands ----------------------------------------------------------------------------

  /** Operands given, counting those left empty in between. */
  get count(): number {
    return this.#operands.length;
  }

  optional(i: number): Value | undefined {
    return this.#operands[i];
  }

  input(i: number): Value {
    return this.#operands[i] ?? this.fail(`Operand ${i} is missing`);
  }

  /** All operands; none may be left out. */
  inputs(atLeast = 1): readonly Value[] {
    this.check(this.count >= atLeast, `${this.node.operator} needs ${atLeast} operands`);
    return this.#operands.map((_, i) => this.input(i));
  }

  /** An operand of a given rank, or of one of several. */
  ranked(i: number, ...ranks: readonly number[]): Value {
    const v = this.input(i);
    this.check(ranks.includes(rankOf(v)),
      `Operand ${i} has ${rankOf(v)} axes instead of ${ranks.join(" or ")}`);
    return v;
  }

  /** Whether the node's output `i` has a name, that is, may be read. */
  wants(i: number): boolean {
    return Boolean(this.node.outputs[i]);
  }

  // ---- attributes --------------------------------------------------------------------------

  has(name: string): boolean {
    return this.node.attributes.has(name);
  }

  #attribute<K extends Attribute["kind"]>(name: string, kind: K): ValueOf<K> | undefined {
    const held = this.node.attributes.get(name);
    if (held === undefined) return undefined;
    if (held.kind === kind) return held.value as unknown as ValueOf<K>;
    // Empty lists lose their kind in some writers.
    const empty = Array.isArray(held.value) && held.value.length === 0 && kind.endsWith("s");
    if (empty) return [] as unknown as ValueOf<K>;
    return this.fail(`The attribute "${name}" is of kind ${held.kind} instead of ${kind}`);
  }

  #required<T>(name: string, value: T | undefined): T {
    return value ?? this.fail(`The attribute "${name}" is missing`);
  }

  int(name: string, fallback?: number): number {
    return this.#required(name, this.#attribute(name, "int") ?? fallback);
  }

  /** An integer attribute that is 0 or 1. */
  flag(name: string, fallback = false): boolean {
    return this.int(name, fallback ? 1 : 0) !== 0;
  }

  float(name: string, fallback?: number): number {
    return this.#required(name, this.#attribute(name, "float") ?? fallback);
  }

  string(name: string, fallback?: string): string {
    return this.#required(name, this.#attribute(name, "string") ?? fallback);
  }

  /** A string attribute that must be one of `choices`, the first being the default. */
  choice<C extends string>(name: string, ...choices: readonly [C, ...C[]]): C {
    const value = this.string(name, choices[0]);
    const found = choices.find((c) => c === value);
    return found ?? this.fail(
      `The attribute "${name}" is "${value}" instead of one of ${choices.join(", ")}`);
  }

  ints(name: string, fallback?: readonly number[]): readonly number[] {
    return this.#required(name, this.#attribute(name, "ints") ?? fallback);
  }

  floats(name: string, fallback?: readonly number[]): readonly number[] {
    return this.#required(name, this.#attribute(name, "floats") ?? fallback);
  }

  strings(name: string, fallback?: readonly string[]): readonly string[] {
    return this.#required(name, this.#attribute(name, "strings") ?? fallback);
  }

  tensor(name: string): Tensor {
    return this.read(this.#required(name, this.#attribute(name, "tensor")));
  }

  graph(name: string): OnnxGraph {
    return this.#required(name, this.#attribute(name, "graph"));
  }

  read(source: TensorSource): Tensor {
    return readTensor(source, this.place);
  }

  // ---- shapes and elements -----------------------------------------------------------------

  /** An axis counted from 0, of something with `rank` axes. */
  axis(axis: number, rank: number): number {
    this.check(Number.isInteger(axis) && axis >= -rank && axis < rank,
      `Axis ${axis} does not exist: the operand has ${rank} axes`);
    return axis < 0 ? axis + rank : axis;
  }

  axes(axes: readonly number[], rank: number): number[] {
    const normal = axes.map((a) => this.axis(a, rank));
    this.check(new Set(normal).size === normal.length, `Axes [${axes}] name one axis twice`);
    return normal;
  }

  /** A size as a number. @throws NeedsConcrete while it is symbolic */
  concrete(d: Dim, why = this.node.operator): number {
    if (typeof d === "number") return d;
    throw new NeedsConcrete(symbolsOf(d), why, this.place);
  }

  concreteShape(shape: readonly Dim[], why = this.node.operator): number[] {
    if (isStatic(shape)) return [...shape];
    const symbols = [...new Set(shape.flatMap(symbolsOf))].sort();
    throw new NeedsConcrete(symbols, why, this.place);
  }

  /** d / by, which must be exact. @throws NeedsConcrete while that depends on a symbol */
  divided(d: Dim, by: Dim, sentence: string): Dim {
    return divDimsExact(d, by) ?? this.#undecided([d, by], sentence);
  }

  /** Checks that two sizes agree. @throws NeedsConcrete while that depends on a symbol */
  expectDim(actual: Dim, expected: Dim, sentence: string): void {
    if (!dimsEqual(actual, expected)) this.#undecided([actual, expected], sentence);
  }

  #undecided(dims: readonly Dim[], sentence: string): never {
    const symbols = [...new Set(dims.flatMap(symbolsOf))].sort();
    if (symbols.length === 0) return this.fail(sentence);
    throw new NeedsConcrete(symbols, this.node.operator, this.place);
  }

  /** Elements that follow from the graph alone, without asking for inputs. */
  tryElements(v: Value): readonly Dim[] | undefined {
    return this.#services.known(v);
  }

  tryNumbers(v: Value): readonly number[] | undefined {
    const elements = this.tryElements(v);
    return elements && isStatic(elements) ? elements : undefined;
  }

  /**
   * Elements of a shape-like operand: numbers and symbolic sizes.
   * @throws NeedsValue when they depend on inputs and none are given
   */
  elements(v: Value): readonly Dim[] {
    const known = this.tryElements(v);
    if (known) return known;
    const tensor = this.#ask(v);
    return Array.from({ length: sizeOf(tensor.shape) }, (_, i) => elementAt(tensor, i));
  }

  /** Elements for the actual inputs, or what must be known to have them. */
  #ask(v: Value): Tensor {
    const { inputs, symbols } = this.#services.dependsOn(v);
    const { operator } = this.node;
    if (inputs.length === 0 && symbols.length > 0) {
      throw new NeedsConcrete(symbols, operator, this.place);
    }
    const tensor = this.#services.host(v, this.node);
    if (tensor) return tensor;
    throw new NeedsValue(v.name, inputs, operator, this.place);
  }

  /** As `elements`, but numbers. @throws NeedsConcrete while one is symbolic */
  numbers(v: Value): readonly number[] {
    return this.concreteShape(this.elements(v));
  }

  /** The one element of a scalar or one-element operand, which may be a symbolic size. */
  element(v: Value): Dim {
    const elements = this.elements(v);
    const [first] = elements;
    if (first !== undefined && elements.length === 1) return first;
    return this.fail(`"${v.name}" has ${elements.length} elements where one is expected`);
  }

  /** As `element`, but a number. */
  scalar(v: Value): number {
    return this.concrete(this.element(v));
  }

  /** Elements as a tensor, whatever their number and type; evaluated where inputs are given. */
  value(v: Value): Tensor {
    const shape = shapeOf(v);
    const known = this.tryNumbers(v);
    if (!known || !isStatic(shape)) return this.#ask(v);
    return { dtype: v.type.dtype, shape, data: Float64Array.from(known), splat: false };
  }

  subgraph(graph: OnnxGraph, operands: readonly Value[]): Value[] {
    return this.#services.subgraph(graph, operands);
  }

  // ---- types -------------------------------------------------------------------------------

  /** An element type attribute, as a type that tensors have here. */
  dtype(name: string, fallback?: DType): DType {
    if (fallback !== undefined && !this.has(name)) return fallback;
    return this.dtypeFrom(this.int(name));
  }

  dtypeFrom(code: number): DType {
    const name = elementTypeName(code);
    return dtypeOf(name) ?? this.unsupported(`Elements of type ${name} are not supported`);
  }
}
