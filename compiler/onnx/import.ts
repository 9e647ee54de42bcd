/**
 * From an ONNX model to a tensor graph: every node is lowered straight to primitives by the rule
 * of its operator and opset. Shape arithmetic is followed while the graph is built and leaves no
 * nodes; nodes that the requested outputs do not need are never lowered.
 *
 * Not an optimiser (constant folding and the like are passes), and not bound to shapes: sizes that
 * the model names stay symbols until a rule needs a number.
 */
import { UserError } from "../errors.ts";
import { Builder } from "../graph/builder.ts";
import { productOf, symbolsOf, type Dim } from "../graph/dim.ts";
import { dtypeFacts, integerRange } from "../graph/dtype.ts";
import { constantOf, isOp, type Graph, type Node, type Value } from "../graph/graph.ts";
import { KnownValues } from "../graph/known.ts";
import type { Tensor } from "../graph/tensor.ts";
import { verifyGraph } from "../graph/verify.ts";
import { MisfitError, showType } from "../ops/common.ts";
import { ancestors } from "../passes/gradient.ts";
import { RuleContext, type ImportServices } from "./context.ts";
import { dtypeOf } from "./elementTypes.ts";
import { HostValues } from "./hostValues.ts";
import {
  functionKey, showOnnxType, type Attribute, type Model, type OnnxFunction, type OnnxGraph,
  type OnnxNode, type TensorSource, type ValueInfo,
} from "./model.ts";
import { ruleFor } from "./operator.ts";
import { findOperator } from "./ops/index.ts";
import { readTensor } from "./readTensor.ts";
import { NeedsConcrete, UnsupportedError } from "./refusal.ts";
import {
  isSource, Missing, MissingInside, neededNodes, Scope, type Slot,
} from "./scope.ts";
import { Symbols, type SymbolNote } from "./symbols.ts";
import { Findings, UnsupportedOperators } from "./unsupported.ts";

export interface ImportOptions {
  /** Numbers for symbolic sizes, by the model's name or ours. */
  readonly bind?: Readonly<Record<string, number>>;
  /** Shapes of inputs for which the model declares none. */
  readonly shapes?: ReadonlyMap<string, readonly Dim[]>;
  /** Inputs that become constants. */
  readonly values?: ReadonlyMap<string, Tensor>;
  /** Names of the outputs to keep; default all. */
  readonly outputs?: readonly string[];
}

export interface ImportReport {
  /** Opset by domain ("" is ONNX's own). */
  readonly opsets: ReadonlyMap<string, number>;
  /** How many nodes of each operator were lowered (loop bodies count once per round). */
  readonly operators: ReadonlyMap<string, number>;
  readonly symbols: readonly SymbolNote[];
  /** What a person should know: types computed in 32 bits, random keys, choices made. */
  readonly notes: readonly string[];
}

export interface Imported {
  readonly graph: Graph;
  readonly report: ImportReport;
}

/**
 * Lowers a model.
 * @throws UnsupportedOperators with everything that is not supported, at once
 * @throws NeedsConcrete, NeedsValue when shapes or inputs must be known first: see `specialise`
 * @throws UserError when the model contradicts itself
 */
export function importModel(model: Model, options: ImportOptions = {}): Imported {
  const importer = new Importer(model, options, {});
  return importer.finish();
}

/** What `specialise` and `inspect` ask for beyond an import. */
export interface ImportSettings {
  /** Actual inputs, for elements that only they decide. */
  readonly host?: ReadonlyMap<string, Tensor>;
  /** Called for every value whose elements were taken from the actual inputs. */
  readonly onHostValue?: (value: Value, node: OnnxNode, tensor: Tensor) => void;
  /** Go on past whatever cannot be lowered. */
  readonly lenient?: boolean;
  /** Instead of reading a weight. */
  readonly readWeight?: (source: TensorSource, place: string) => Tensor;
}

/** Calls of local functions inside local functions; more is a recursion. */
const deepestCalls = 64;
/** What one axis list of a buffer can count to. */
const mostElements = 2 ** 31 - 1;

/** Where nodes are being lowered: names, opsets and the calling node's attributes. */
interface Frame {
  readonly scope: Scope;
  readonly opsets: ReadonlyMap<string, number>;
  readonly attributes: ReadonlyMap<string, Attribute> | undefined;
  readonly depth: number;
}

export class Importer {
  readonly findings = new Findings();
  /** In lenient mode: why nodes were left out, beyond what is unsupported. */
  readonly problems: string[] = [];
  readonly #model: Model;
  readonly #options: ImportOptions;
  readonly #settings: ImportSettings;
  readonly #builder: Builder;
  readonly #known = new KnownValues();
  readonly #host: HostValues | undefined;
  readonly #symbols: Symbols;
  readonly #inputs: Value[] = [];
  readonly #constants = new Map<TensorSource, Value>();
  readonly #weights = new Set<Value>();
  readonly #named = new Set<Value>();
  readonly #notes = new Set<string>();
  readonly #operators = new Map<string, number>();
  readonly #outputs: readonly string[];
  readonly #scope = new Scope();

  constructor(model: Model, options: ImportOptions, settings: ImportSettings) {
    this.#model = model;
    this.#options = options;
    this.#settings = settings;
    this.#builder = new Builder(model.graph.name || "model");
    this.#host = settings.host && new HostValues(settings.host);
    this.#symbols = new Symbols(options.bind ?? {});
    this.#outputs = this.#requestedOutputs();
  }

  /** Lowers everything, checks it, and gives the graph. */
  finish(): Imported {
    const slots = this.lowerAll();
    // What only a branch that is never taken lacks stands in nobody's way.
    if (slots.some(({ slot }) => slot instanceof Missing)) {
      throw new UnsupportedOperators(this.#model.place, this.findings.all, this.#outputs);
    }
    const outputs = slots.map(({ name, slot }) => ({ name, value: slot as Value }));
    const graph = this.#graph(outputs);
    for (const node of graph.nodes) this.#checkNode(node);
    return { graph: verifyGraph(graph), report: this.report };
  }

  get report(): ImportReport {
    return {
      opsets: this.#model.opsets, operators: this.#operators, symbols: this.#symbols.notes,
      notes: [...this.#notes],
    };
  }

  /** Lowers everything; outputs that could not be are `Missing`. */
  lowerAll(): { readonly name: string; readonly slot: Value | Missing }[] {
    const { graph, opsets, place } = this.#model;
    for (const source of graph.initializers) this.#scope.set(source.name, source);
    for (const input of graph.inputs) this.#addInput(input);
    this.#symbols.checkBindings(place);
    const frame: Frame = { scope: this.#scope, opsets, attributes: undefined, depth: 0 };
    this.#lowerNodes(graph.nodes, this.#outputs, frame);
    return this.#outputs.map((name) => {
      const slot = this.#read(frame, name, () => `The output "${name}"`);
      if (slot === "absent") throw new UserError(`The output "${name}" has no value`, { place });
      if (slot instanceof Missing) for (const f of slot.findings) f.outputs.add(name);
      return { name, slot };
    });
  }

  /** The graph of some lowered values: what they need, in the order it was built. */
  #graph(outputs: readonly { name: string; value: Value }[]): Graph {
    const whole = this.#builder.finish(outputs);
    const live = new Set(ancestors(outputs.map((o) => o.value)));
    return { ...whole, nodes: whole.nodes.filter((node) => live.has(node)) };
  }

  /** Whether a constant is an initializer of the file. */
  isWeight(v: Value): boolean {
    return this.#weights.has(v);
  }

  /** Inputs of the graph under construction. */
  get inputs(): readonly Value[] {
    return this.#inputs;
  }

  // ---- inputs and outputs ------------------------------------------------------------------

  #requestedOutputs(): readonly string[] {
    const all = this.#model.graph.outputs.map((o) => o.name);
    const { place } = this.#model;
    if (new Set(all).size !== all.length || all.length === 0) {
      throw new UserError(all.length === 0 ? "The model has no outputs"
        : "Two outputs of the model have one name", { place, remedy: "export the model again" });
    }
    const wanted = this.#options.outputs ?? all;
    for (const name of wanted) {
      if (!all.includes(name)) {
        throw new UserError(`The model has no output "${name}"`, {
          place, remedy: `its outputs are: ${all.join(", ")}`,
        });
      }
    }
    return wanted;
  }

  #addInput({ name, type }: ValueInfo): void {
    const { place } = this.#model;
    const held = this.#scope.get(name);
    // Before IR version 4 every weight was an input as well; its default value is what counts.
    if (held !== undefined && isSource(held)) return;
    if (held !== undefined || name === "") {
      throw new UserError(`Two inputs of the model are called "${name}"`, {
        place, remedy: "export the model again",
      });
    }
    const value = this.#options.values?.get(name);
    if (value) {
      this.#define(this.#scope, name, this.#builder.constant(value, name));
      return;
    }
    const dtype = type.kind === "tensor" ? dtypeOf(type.elementType) : undefined;
    if (type.kind !== "tensor" || !dtype) {
      const reason = `inputs of type ${showOnnxType(type)} are not supported`;
      const finding = this.findings.add(`input "${name}"`, "", this.#opset, reason, name, []);
      this.#scope.set(name, new Missing([finding]));
      return;
    }
    const declared = type.shape?.map((d, axis) => this.#symbols.dim(d, name, axis));
    const shape = declared ?? this.#options.shapes?.get(name);
    if (!shape) {
      throw new UserError(`The input "${name}" has no shape, not even a number of axes`, {
        place, remedy: `give the shape of "${name}"`,
      });
    }
    const input = this.#builder.input(name, { dtype, shape });
    this.#inputs.push(input);
    this.#noteType(input);
    this.#define(this.#scope, name, input);
  }

  get #opset(): number {
    return this.#model.opsets.get("") ?? 0;
  }

  #noteType({ type: { dtype } }: Value): void {
    const { bits, kind } = dtypeFacts[dtype];
    if (dtype === "float64") this.#notes.add("float64 values are computed in float32");
    if (bits === 64 && kind !== "float") this.#notes.add(`${dtype} values are computed in 32 bits`);
  }

  // ---- names -------------------------------------------------------------------------------

  #define(scope: Scope, name: string, value: Value): void {
    if (!this.#named.has(value)) {
      this.#named.add(value);
      this.#builder.rename(value, name);
    }
    scope.set(name, value);
  }

  /** What a name stands for, reading a weight when it is first asked for. */
  #read(frame: Frame, name: string, who: () => string): Value | Missing | "absent" {
    const slot: Slot | undefined = frame.scope.get(name);
    if (slot === undefined) {
      throw new UserError(`${who()} reads "${name}", which no node, input or initializer gives`, {
        place: this.#model.place, remedy: "export the model again: a weight or a node is missing",
      });
    }
    return slot !== "absent" && isSource(slot) ? this.#weight(slot) : slot;
  }

  #weight(source: TensorSource): Value | Missing {
    const known = this.#constants.get(source);
    if (known) return known;
    const read = this.#settings.readWeight ?? readTensor;
    try {
      const value = this.#builder.constant(read(source, this.#model.place), source.name);
      this.#constants.set(source, value);
      this.#weights.add(value);
      this.#named.add(value);
      this.#noteType(value);
      return value;
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      const label = `initializer "${source.name}"`;
      const reason = `elements of type ${source.elementType} are not supported`;
      return new Missing([this.findings.add(label, "", this.#opset, reason, source.name, [])]);
    }
  }

  // ---- nodes -------------------------------------------------------------------------------

  #lowerNodes(nodes: readonly OnnxNode[], wanted: readonly string[], frame: Frame): void {
    for (const node of neededNodes(nodes, wanted, this.#model.place)) {
      this.#builder.from([...this.#builder.origin, node.name], () => this.#lowerNode(node, frame));
    }
  }

  #lowerNode(original: OnnxNode, frame: Frame): void {
    const node = frame.attributes ? withAttributes(original, frame.attributes) : original;
    const slots = node.inputs.map((name) => (name === "" ? "absent"
      : this.#read(frame, name, () => `The node "${node.name}" (${node.operator})`)));
    while (slots.at(-1) === "absent") slots.pop();
    const missing = slots.filter((slot) => slot instanceof Missing);
    const results = this.#results(node, frame, slots, missing);
    node.outputs.forEach((name, i) => {
      if (name === "") return;
      const result = results instanceof Missing ? results : results[i];
      if (result === undefined) frame.scope.set(name, "absent");
      else if (result instanceof Missing) frame.scope.set(name, result);
      else this.#define(frame.scope, name, result);
    });
  }

  #results(
    node: OnnxNode, frame: Frame, slots: readonly (Value | Missing | "absent")[],
    missing: readonly Missing[],
  ): Missing | readonly (Value | Missing | undefined)[] {
    const { domain, operator, overload } = node;
    const local = this.#model.functions.get(functionKey(domain, operator, overload));
    if (local) return this.#inline(node, local, slots, frame);
    const opset = frame.opsets.get(domain) ?? this.#model.opsets.get(domain) ?? 1;
    const types = slots.map((s) => (s === "absent" ? "none"
      : s instanceof Missing ? "?" : showType(s.type)));
    // What its operands lack is lacking here as well: an output must name all that it needs.
    const refuse = (reason?: string): Missing => Missing.union([...missing, new Missing(
      [this.findings.add(operator, domain, opset, reason, node.name, types)])]);
    const known = findOperator(domain, operator);
    const rule = known && ruleFor(known, opset);
    if (!rule) return refuse(known && `opset ${opset} is older than what is supported`);
    if (missing.length > 0) {
      this.#refuseInside(node, frame);
      return Missing.union(missing);
    }
    const operands = slots.map((s) => (s === "absent" ? undefined : s as Value));
    const context = new RuleContext(
      node, opset, operands, this.#services(frame), this.#model.place);
    const key = domain === "" ? operator : `${domain}.${operator}`;
    this.#operators.set(key, (this.#operators.get(key) ?? 0) + 1);
    try {
      const out = rule(context);
      return "type" in out ? [out] : out;
    } catch (error) {
      return this.#recover(blame(error, context, operands), refuse);
    }
  }

  /** Turns an exception of a rule into a gap to report later, or throws it on. */
  #recover(error: unknown, refuse: (reason: string) => Missing): Missing {
    if (error instanceof MissingInside) return error.missing;
    if (error instanceof UnsupportedError) return refuse(error.sentence);
    if (!this.#settings.lenient || !(error instanceof UserError)) throw error;
    this.problems.push(error.message);
    return new Missing([]);
  }

  /** Operators in subgraphs of a node that cannot be lowered anyway: unknown ones count too. */
  #refuseInside(node: OnnxNode, frame: Frame): void {
    for (const attribute of node.attributes.values()) {
      if (attribute.kind !== "graph") continue;
      for (const inner of attribute.value.nodes) {
        const opset = frame.opsets.get(inner.domain) ?? 1;
        const known = findOperator(inner.domain, inner.operator);
        const local = this.#model.functions.has(
          functionKey(inner.domain, inner.operator, inner.overload));
        if (!local && !(known && ruleFor(known, opset))) {
          this.findings.add(inner.operator, inner.domain, opset, undefined, inner.name, []);
        }
        this.#refuseInside(inner, frame);
      }
    }
  }

  #services(frame: Frame): ImportServices {
    return {
      builder: this.#builder,
      known: (v) => this.#known.elements(v),
      host: (v, node) => {
        if (!this.#host) return undefined;
        const tensor = this.#host.tensor(v, this.#inputs);
        this.#settings.onHostValue?.(v, node, tensor);
        return tensor;
      },
      dependsOn: (v) => this.#dependsOn(v),
      subgraph: (graph, operands) => this.#subgraph(graph, operands, frame),
      note: (text) => void this.#notes.add(text),
    };
  }

  #dependsOn(v: Value): ReturnType<ImportServices["dependsOn"]> {
    const nodes = ancestors([v]);
    const reached = new Set([v, ...nodes.flatMap((node) => node.inputs)]);
    const sizes = nodes.flatMap((node) => (isOp(node, "size") ? [node.attrs.dim]
      : (node.outputs[0] as Value).type.shape));
    return {
      inputs: this.#inputs.filter((input) => reached.has(input)).map((input) => input.name),
      symbols: [...new Set(sizes.flatMap(symbolsOf))].sort(),
    };
  }

  #subgraph(graph: OnnxGraph, operands: readonly Value[], outer: Frame): Value[] {
    const { place } = this.#model;
    if (operands.length !== graph.inputs.length) {
      throw new UserError(
        `The subgraph "${graph.name}" has ${graph.inputs.length} inputs, not ${operands.length}`,
        { place, remedy: "export the model again" });
    }
    const scope = new Scope(outer.scope);
    for (const source of graph.initializers) scope.set(source.name, source);
    graph.inputs.forEach(({ name }, i) => scope.set(name, operands[i] as Value));
    const frame = { ...outer, scope };
    const wanted = graph.outputs.map((o) => o.name);
    this.#lowerNodes(graph.nodes, wanted, frame);
    const slots = wanted.map((name) => this.#read(frame, name, () => `The output "${name}"`));
    const missing = slots.filter((slot) => slot instanceof Missing);
    if (missing.length > 0) throw new MissingInside(Missing.union(missing));
    return slots.map((slot, i) => {
      if (slot !== "absent") return slot as Value;
      throw new UserError(`The subgraph output "${wanted[i]}" has no value`, { place });
    });
  }

  #inline(
    node: OnnxNode, body: OnnxFunction, slots: readonly (Value | Missing | "absent")[],
    outer: Frame,
  ): readonly (Value | Missing | undefined)[] {
    const { place } = this.#model;
    if (outer.depth >= deepestCalls) {
      throw new UserError(`The local function "${body.name}" calls itself`, {
        place, remedy: "export the model again",
      });
    }
    const scope = new Scope();
    body.inputs.forEach((name, i) => scope.set(name, slots[i] ?? "absent"));
    const attributes = new Map([...body.attributeDefaults, ...node.attributes]);
    const opsets = body.opsets.size > 0 ? body.opsets : outer.opsets;
    const frame: Frame = { scope, opsets, attributes, depth: outer.depth + 1 };
    const wanted = body.outputs.filter((_, i) => Boolean(node.outputs[i]));
    this.#lowerNodes(body.nodes, wanted, frame);
    return body.outputs.map((name, i) => {
      if (!node.outputs[i]) return undefined;
      const slot = this.#read(frame, name, () => `The function "${body.name}"`);
      return slot === "absent" ? undefined : slot;
    });
  }

  // ---- checks ------------------------------------------------------------------------------

  #checkNode(node: Node): void {
    const value = node.outputs[0] as Value;
    const { dtype, shape } = value.type;
    const place = `${this.#model.place}, node "${node.origin.at(-1) ?? value.name}"`;
    const size = productOf(shape);
    if (typeof size === "number" && !(size <= mostElements)) {
      throw new UserError(`The value "${value.name}" has ${size} elements`, {
        place, remedy: `keep values below ${mostElements} elements`,
      });
    }
    if (shape.some((d) => typeof d === "number" && d < 0)) {
      throw new UserError(`The value "${value.name}" has the shape [${shape}]`, {
        place, remedy: "check the sizes that the node computes with",
      });
    }
    const tensor = constantOf(value);
    const { bits, kind } = dtypeFacts[dtype];
    if (!tensor || bits !== 64 || kind === "float") return;
    const { min, max } = integerRange(dtype);
    const far = tensor.data.find((x) => x < min || x > max);
    if (far !== undefined) {
      throw new UserError(
        `The ${dtype} constant "${value.name}" holds ${far}, and is computed in 32 bits`,
        { place, remedy: `keep integers between ${min} and ${max}` });
    }
  }
}

/** A node of a function body with the attributes of the calling node in place of references. */
function withAttributes(
  node: OnnxNode, given: ReadonlyMap<string, Attribute>,
): OnnxNode {
  const attributes = new Map<string, Attribute>();
  for (const [name, attribute] of node.attributes) {
    if (attribute.kind !== "reference") attributes.set(name, attribute);
    else {
      const value = given.get(attribute.value);
      if (value) attributes.set(name, value);
    }
  }
  return { ...node, attributes };
}

/** Operands that do not fit a primitive are the model's fault, or a symbol's. */
function blame(
  error: unknown, context: RuleContext, operands: readonly (Value | undefined)[],
): unknown {
  if (!(error instanceof MisfitError)) return error;
  const symbols = new Set(operands.flatMap((v) => v?.type.shape.flatMap(symbolsOf) ?? []));
  if (symbols.size > 0) return new NeedsConcrete([...symbols].sort(), "This node", context.place);
  return new UserError(error.sentence, {
    place: context.place, remedy: "check the shapes and types that the node is given",
  });
}
