/**
 * The messages of onnx.proto as data: field number -> name, kind, and whether it repeats. Covers
 * IR version 3 to 13, including local functions and their default attributes, which the descriptor
 * of the onnx-proto package (IR version 8) lacks. Fields that nothing here reads (training info,
 * device configurations, quantisation annotations) are left out and skipped while decoding.
 *
 * Where it comes from: onnx.proto3 of the ONNX project, field numbers being facts of the format.
 */

/** `int`: any varint as a number; `ints`, `floats`, `doubles`: packed or not, as one array. */
export type ScalarKind = "string" | "bytes" | "int" | "float";
export type ArrayKind = "ints" | "floats" | "doubles";

/** [field name, kind or message, "many" when it repeats as separate values]. */
type Field = readonly [string, ScalarKind | ArrayKind | MessageName, "many"?];

export type MessageName =
  | "Model" | "Graph" | "Node" | "Attribute" | "Tensor" | "SparseTensor" | "ValueInfo" | "Type"
  | "TensorType" | "ElementType" | "MapType" | "Shape" | "Dimension" | "OperatorSet" | "Entry"
  | "Function";

export const schema = {
  Model: {
    1: ["irVersion", "int"], 2: ["producerName", "string"], 3: ["producerVersion", "string"],
    7: ["graph", "Graph"], 8: ["opsetImport", "OperatorSet", "many"],
    14: ["metadata", "Entry", "many"], 25: ["functions", "Function", "many"],
  },
  Graph: {
    1: ["node", "Node", "many"], 2: ["name", "string"], 5: ["initializer", "Tensor", "many"],
    11: ["input", "ValueInfo", "many"], 12: ["output", "ValueInfo", "many"],
    13: ["valueInfo", "ValueInfo", "many"], 15: ["sparseInitializer", "SparseTensor", "many"],
  },
  Node: {
    1: ["input", "string", "many"], 2: ["output", "string", "many"], 3: ["name", "string"],
    4: ["opType", "string"], 5: ["attribute", "Attribute", "many"], 7: ["domain", "string"],
    8: ["overload", "string"],
  },
  Attribute: {
    1: ["name", "string"], 2: ["f", "float"], 3: ["i", "int"], 4: ["s", "bytes"],
    5: ["t", "Tensor"], 6: ["g", "Graph"], 7: ["floats", "floats"], 8: ["ints", "ints"],
    9: ["strings", "bytes", "many"], 10: ["tensors", "Tensor", "many"],
    11: ["graphs", "Graph", "many"], 14: ["tp", "Type"], 15: ["types", "Type", "many"],
    20: ["type", "int"], 21: ["refAttrName", "string"], 22: ["sparseTensor", "SparseTensor"],
    23: ["sparseTensors", "SparseTensor", "many"],
  },
  Tensor: {
    1: ["dims", "ints"], 2: ["dataType", "int"], 4: ["floatData", "floats"],
    5: ["int32Data", "ints"], 6: ["stringData", "bytes", "many"], 7: ["int64Data", "ints"],
    8: ["name", "string"], 9: ["rawData", "bytes"], 10: ["doubleData", "doubles"],
    11: ["uint64Data", "ints"], 13: ["externalData", "Entry", "many"],
    14: ["dataLocation", "int"],
  },
  SparseTensor: { 1: ["values", "Tensor"], 2: ["indices", "Tensor"], 3: ["dims", "ints"] },
  ValueInfo: { 1: ["name", "string"], 2: ["type", "Type"] },
  Type: {
    1: ["tensor", "TensorType"], 4: ["sequence", "ElementType"], 5: ["map", "MapType"],
    8: ["sparseTensor", "TensorType"], 9: ["optional", "ElementType"],
  },
  TensorType: { 1: ["elemType", "int"], 2: ["shape", "Shape"] },
  ElementType: { 1: ["elem", "Type"] },
  MapType: { 1: ["keyType", "int"], 2: ["valueType", "Type"] },
  Shape: { 1: ["dim", "Dimension", "many"] },
  Dimension: { 1: ["value", "int"], 2: ["param", "string"] },
  OperatorSet: { 1: ["domain", "string"], 2: ["version", "int"] },
  Entry: { 1: ["key", "string"], 2: ["value", "string"] },
  Function: {
    1: ["name", "string"], 4: ["input", "string", "many"], 5: ["output", "string", "many"],
    6: ["attribute", "string", "many"], 7: ["node", "Node", "many"],
    9: ["opsetImport", "OperatorSet", "many"], 10: ["domain", "string"],
    11: ["attributeProto", "Attribute", "many"], 13: ["overload", "string"],
  },
} as const satisfies Record<MessageName, Record<number, Field>>;

type Schema = typeof schema;
type FieldOf<M extends MessageName> = Schema[M][keyof Schema[M]];

type Held<K> = K extends "string" ? string
  : K extends "bytes" ? Uint8Array
  : K extends "int" | "float" ? number
  : K extends ArrayKind ? ArrayLike<number>
  : K extends MessageName ? Wire<K> : never;

/** A decoded message: arrays are always there, single fields only where the file has them. */
export type Wire<M extends MessageName> = {
  readonly [F in FieldOf<M> as F extends readonly [infer N extends string, ...unknown[]]
    ? N : never]: F extends readonly [string, infer K, "many"] ? readonly Held<K>[]
    : F extends readonly [string, ArrayKind] ? ArrayLike<number>
    : F extends readonly [string, infer K] ? Held<K> | undefined : never;
};
