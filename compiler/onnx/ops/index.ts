/**
 * The operator families, and the table of operators that they make up. A new operator is a record
 * in one of these files; a new family is one more line here.
 */
import { InternalError } from "../../errors.ts";
import type { Family, Operator } from "../operator.ts";
import { activations } from "./activations.ts";
import { arithmetic } from "./arithmetic.ts";
import { attentions } from "./attention.ts";
import { casts } from "./casts.ts";
import { control } from "./control.ts";
import { convolution } from "./convolution.ts";
import { detection } from "./detection.ts";
import { fused } from "./fused.ts";
import { fusedAttention } from "./fusedAttention.ts";
import { fusedQuantised } from "./fusedQuantised.ts";
import { indexing } from "./indexing.ts";
import { losses } from "./losses.ts";
import { math } from "./math.ts";
import { movement } from "./movement.ts";
import { normalization } from "./normalization.ts";
import { pooling } from "./pooling.ts";
import { products } from "./products.ts";
import { quantization } from "./quantization.ts";
import { random } from "./random.ts";
import { recurrence } from "./recurrent.ts";
import { reductions } from "./reductions.ts";
import { resizing } from "./resize.ts";
import { sampling } from "./sampling.ts";
import { shapes } from "./shape.ts";
import { signals } from "./signal.ts";

const families: readonly Family[] = [
  activations, arithmetic, attentions, casts, control, convolution, detection, fused,
  fusedAttention, fusedQuantised, indexing, losses,
  math, movement, normalization, pooling, products, quantization, random, recurrence, reductions,
  resizing, sampling, shapes, signals,
];

const keyOf = (domain: string, name: string): string => `${domain}::${name}`;

function collect(): ReadonlyMap<string, Operator> {
  const table = new Map<string, Operator>();
  for (const operator of families.flat()) {
    const key = keyOf(operator.domain ?? "", operator.name);
    if (table.has(key)) throw new InternalError(`two rules for the operator ${key}`);
    table.set(key, operator);
  }
  return table;
}

export const operators = collect();

export const findOperator = (domain: string, name: string): Operator | undefined =>
  operators.get(keyOf(domain, name));
