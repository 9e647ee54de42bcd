/**
 * Imports a model for actual inputs: sizes that a rule needs as numbers are taken from the inputs'
 * shapes, and elements that only the data decides (the number of boxes that survive, how often a
 * loop runs) are computed on the host. What was fixed is reported: the graph is valid for inputs
 * that agree in it.
 */
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { elementAt, sizeOf, type Tensor } from "../graph/tensor.ts";
import { Importer, type Imported, type ImportOptions, type ImportReport } from "./import.ts";
import type { Model, OnnxNode, ValueInfo } from "./model.ts";
import { NeedsConcrete } from "./refusal.ts";

/** A value whose elements were taken from the inputs, and the node that asked for them. */
export interface FixedValue {
  readonly value: string;
  readonly node: string;
  readonly operator: string;
  /** The elements, when they are few. */
  readonly elements: readonly number[] | undefined;
}

export interface SpecialiseReport extends ImportReport {
  /** Sizes that became numbers. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly values: readonly FixedValue[];
}

export interface Specialised extends Imported {
  readonly report: SpecialiseReport;
}

const fewElements = 16;

/**
 * Lowers a model for these inputs, keeping symbolic whatever no rule needs as a number.
 * @throws UserError as `importModel` does, and when an input is missing or does not fit
 */
export function specialise(
  model: Model, inputs: ReadonlyMap<string, Tensor>,
  options: Omit<ImportOptions, "values" | "shapes"> = {},
): Specialised {
  const shapes = new Map([...inputs].map(([name, t]) => [name, t.shape]));
  const sizes: Record<string, number> = {};
  for (;;) {
    const values = new Map<Value, FixedValue>();
    const importer = new Importer(model, {
      ...options, shapes, bind: { ...options.bind, ...sizes },
    }, {
      host: inputs,
      onHostValue: (value, node, t) => void values.set(value, fixed(value, node, t)),
    });
    try {
      const { graph, report } = importer.finish();
      const list = [...values.values()];
      const notes = [...report.notes, ...describe(sizes, list)];
      return { graph, report: { ...report, notes, sizes, values: list } };
    } catch (error) {
      if (!(error instanceof NeedsConcrete)) throw error;
      const { symbols } = importer.report;
      const from = new Map(symbols.map((s) => [s.symbol, s]));
      for (const name of error.symbols) {
        const note = from.get(name);
        const size = note && sizeFrom(model, shapes, note.from, note.symbol);
        // A size that is bound already, or that no input has, would be asked for again for ever.
        if (size === undefined || sizes[name] !== undefined) throw error;
        sizes[name] = size;
      }
    }
  }
}

/** The size of the axis that a symbol was made for. */
function sizeFrom(
  model: Model, shapes: ReadonlyMap<string, readonly number[]>, from: string, symbol: string,
): number | undefined {
  for (const input of model.graph.inputs) {
    const shape = shapes.get(input.name);
    const declared = declaredShape(input);
    if (!shape || !declared) continue;
    if (shape.length !== declared.length) {
      throw new UserError(
        `The input "${input.name}" has ${declared.length} axes, the array ${shape.length}`,
        { place: model.place, remedy: "give an array of the declared shape" });
    }
    const axis = declared.findIndex((d, i) =>
      (d ?? `axis ${i} of ${input.name}`) === from || d === symbol);
    if (axis >= 0) return shape[axis];
  }
  return undefined;
}

const declaredShape = ({ type }: ValueInfo): readonly (number | string | undefined)[] | undefined =>
  (type.kind === "tensor" ? type.shape : undefined);

function fixed(value: Value, node: OnnxNode, t: Tensor): FixedValue {
  const size = sizeOf(t.shape);
  const elements = size > fewElements ? undefined
    : Array.from({ length: size }, (_, i) => elementAt(t, i));
  return { value: value.name, node: node.name, operator: node.operator, elements };
}

function describe(
  sizes: Readonly<Record<string, number>>, values: readonly FixedValue[],
): string[] {
  const bound = Object.entries(sizes).map(([name, size]) => `${name}=${size}`);
  return [
    ...(bound.length === 0 ? [] : [`specialised for ${bound.join(", ")}`]),
    ...values.map(({ value, node, operator, elements }) =>
      `specialised on ${value}${elements ? ` = [${elements}]` : ""}, ` +
      `which ${node} (${operator}) needs`),
  ];
}
