/**
 * An ONNX file as plain data, faithful to what it says: every attribute is kept, nothing is judged
 * supported or not (that is the importer's business), and large tensors are views of the file.
 */
export interface Model {
  /** What messages call it: the file's name. */
  readonly place: string;
  readonly irVersion: number;
  readonly producer: string;
  /** Opset version by domain; the default domain is "". */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: OnnxGraph;
  /** Model-local functions by `functionKey`. */
  readonly functions: ReadonlyMap<string, OnnxFunction>;
  readonly metadata: ReadonlyMap<string, string>;
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly TensorSource[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Declared types of inner values, where the file has them. */
  readonly valueInfo: readonly ValueInfo[];
}

export interface OnnxNode {
  /** Unique in its graph: the file's name for it, or the operator and its number. */
  readonly name: string;
  readonly operator: string;
  /** "" for ONNX's own operators. */
  readonly domain: string;
  readonly overload: string;
  /** "" stands for an optional operand that is not given. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
}

export interface OnnxFunction {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly OnnxNode[];
  readonly opsets: ReadonlyMap<string, number>;
  /** Names of attributes without a default, and the attributes with one. */
  readonly attributeNames: readonly string[];
  readonly attributeDefaults: ReadonlyMap<string, Attribute>;
}

export type Attribute =
  | { readonly kind: "float" | "int"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "floats" | "ints"; readonly value: readonly number[] }
  | { readonly kind: "strings"; readonly value: readonly string[] }
  | { readonly kind: "tensor"; readonly value: TensorSource }
  | { readonly kind: "tensors"; readonly value: readonly TensorSource[] }
  | { readonly kind: "graph"; readonly value: OnnxGraph }
  | { readonly kind: "graphs"; readonly value: readonly OnnxGraph[] }
  /** Sparse tensors and types: kept by name only, no operator here reads them. */
  | { readonly kind: "sparse tensor" | "type"; readonly value: undefined }
  /** Inside a function body: the attribute of the calling node of this name. */
  | { readonly kind: "reference"; readonly value: string };

/** Where a tensor's elements are; nothing is decoded until `readTensor`. */
export type TensorContent =
  | { readonly kind: "raw"; readonly bytes: Uint8Array }
  | { readonly kind: "typed"; readonly values: ArrayLike<number> }
  | { readonly kind: "strings"; readonly values: readonly string[] }
  | {
      readonly kind: "external"; readonly location: string; readonly offset: number;
      /** Bytes; undefined: to the end of the file. */
      readonly length: number | undefined;
    };

export interface TensorSource {
  readonly name: string;
  /** ONNX's name of the element type, also of those that have no `DType`. */
  readonly elementType: string;
  readonly shape: readonly number[];
  readonly content: TensorContent;
}

export interface ValueInfo {
  readonly name: string;
  readonly type: OnnxType;
}

/** A size: a number, a name, or nothing known. */
export type OnnxDim = number | string | undefined;

export type OnnxType =
  | {
      readonly kind: "tensor"; readonly elementType: string;
      /** Absent when the file does not say the rank. */
      readonly shape: readonly OnnxDim[] | undefined;
    }
  | { readonly kind: "sequence" | "optional"; readonly element: OnnxType }
  | { readonly kind: "map" | "sparse tensor" | "unknown" };

export const functionKey = (domain: string, name: string, overload: string): string =>
  `${domain}::${name}::${overload}`;

/** "tensor(float32)[N,3]", "sequence(tensor(string))": how messages show a type of a file. */
export function showOnnxType(type: OnnxType): string {
  if (type.kind === "tensor") {
    const shape = type.shape?.map((d) => String(d ?? "?")).join(",");
    return `${type.elementType}${shape === undefined ? "" : `[${shape}]`}`;
  }
  return "element" in type ? `${type.kind}(${showOnnxType(type.element)})` : type.kind;
}
