/** Sums of products: matrix products, Einsum, determinants. Not convolutions. */
import { dimsEqual, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  dimAt, matmul, pick, range, reduce, sliceFrom, swapLastTwo, unsqueeze,
} from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

export const gemm: Rule = (c) => {
  const { b } = c;
  const [x, y] = [c.ranked(0, 2), c.ranked(1, 2)];
  const left = c.flag("transA") ? swapLastTwo(b, x) : x;
  const right = c.flag("transB") ? swapLastTwo(b, y) : y;
  const [alpha, beta] = [c.float("alpha", 1), c.float("beta", 1)];
  const product = b.dot(left, right, 0, 1);
  const scaled = alpha === 1 ? product : b.mul(product, b.full(product, alpha));
  const bias = c.optional(2);
  if (!bias || beta === 0) return scaled;
  return b.addition(scaled, beta === 1 ? bias : b.mul(bias, b.full(bias, beta)));
};

/** An operand with its zero point taken off, as int32; of 8 bits, through 16, which hold it. */
export function centred(
  b: Builder, v: Value, zeroPoint: Value | undefined, perRow: boolean,
): Value {
  if (!zeroPoint) return b.cast(v, "int32");
  const { dtype } = v.type;
  const enough = dtype === "int8" || dtype === "uint8" ? "int16" : "int32";
  const zero = b.cast(zeroPoint, enough);
  const taken = b.sub(b.cast(v, enough),
    perRow && rankOf(zero) === 1 ? unsqueeze(b, zero, [1]) : zero);
  return b.cast(taken, "int32");
}

const matmulInteger: Rule = (c) => {
  const rows = c.optional(2);
  // A vector of zero points on the left is one per row, on the right one per column.
  const perRow = rows !== undefined && dimAt(rows, 0) !== 1 && rankOf(c.input(0)) >= 2;
  return matmul(c.b, centred(c.b, c.input(0), rows, perRow),
    centred(c.b, c.input(1), c.optional(3), false));
};

// ---- Einsum --------------------------------------------------------------------------------

/** An operand with one letter per axis. */
interface Term { readonly v: Value; readonly axes: readonly string[] }

/** Letters for the axes that "..." stands for, numbered from the last. */
const dots = (count: number): string[] => range(0, count).map((i) => `.${count - i}`);

function parseTerm(c: RuleContext, text: string, rank: number): string[] {
  const [before, after, more] = text.split("...");
  const letters = (part: string | undefined): string[] => [...(part ?? "")];
  c.check(more === undefined && [...text].every((l) => /[A-Za-z.]/.test(l)),
    `"${text}" is no term of an Einsum equation`);
  if (after === undefined) {
    c.check(letters(before).length === rank, `The term "${text}" meets an operand of rank ${rank}`);
    return letters(before);
  }
  const open = rank - letters(before).length - letters(after).length;
  c.check(open >= 0, `The term "${text}" meets an operand of rank ${rank}`);
  return [...letters(before), ...dots(open), ...letters(after)];
}

/** Keeps the diagonal of axes that share a letter. */
function diagonals(b: Builder, { v, axes }: Term): Term {
  const twice = axes.findIndex((letter, i) => axes.indexOf(letter) < i);
  if (twice < 0) return { v, axes };
  const first = axes.indexOf(axes[twice] as string);
  const at = (axis: number): Value => b.iota(shapeOf(v), axis, "int32");
  const onDiagonal = b.binary("eq", at(first), at(twice));
  const kept = b.reduce("sum", b.where(onDiagonal, v, b.full(v, 0)), [twice]);
  return diagonals(b, { v: kept, axes: axes.filter((_, i) => i !== twice) });
}

const arrange = (b: Builder, { v, axes }: Term, order: readonly string[]): Value =>
  b.transpose(v, order.map((letter) => axes.indexOf(letter)));

/** Sums away the letters that nothing else needs. */
function shrunk(b: Builder, { v, axes }: Term, needed: ReadonlySet<string>): Term {
  const gone = range(0, axes.length).filter((i) => !needed.has(axes[i] as string));
  return { v: reduce(b, "sum", v, gone, false), axes: axes.filter((l) => needed.has(l)) };
}

/** The product of two terms, summed over letters that are in both and not needed after. */
function joined(b: Builder, x: Term, y: Term, needed: ReadonlySet<string>): Term {
  const both = x.axes.filter((l) => y.axes.includes(l));
  const batch = both.filter((l) => needed.has(l));
  const summed = both.filter((l) => !needed.has(l));
  const free = (t: Term): string[] => t.axes.filter((l) => !both.includes(l));
  const left = arrange(b, x, [...batch, ...free(x), ...summed]);
  const right = arrange(b, y, [...batch, ...summed, ...free(y)]);
  return {
    v: b.dot(left, right, batch.length, summed.length), axes: [...batch, ...free(x), ...free(y)],
  };
}

/** Axes of size 1 repeat to the size that their letter has elsewhere. */
function repeated(b: Builder, { v, axes }: Term, sizes: ReadonlyMap<string, Dim>): Term {
  return { v: b.broadcast(v, axes.map((l) => sizes.get(l) as Dim)), axes };
}

const einsum: Rule = (c) => {
  const { b } = c;
  const operands = c.inputs();
  const [left, right, more] = c.string("equation").replaceAll(/\s/g, "").split("->");
  const texts = (left as string).split(",");
  c.check(more === undefined && texts.length === operands.length,
    `The equation has ${texts.length} terms for ${operands.length} operands`);
  const parsed = operands.map((v, i) => ({
    v, axes: parseTerm(c, texts[i] as string, rankOf(v)),
  }));
  const sizes = new Map<string, Dim>();
  for (const { v, axes } of parsed) {
    axes.forEach((letter, i) => {
      const [known, size] = [sizes.get(letter), dimAt(v, i)];
      const meets = known === undefined || known === 1 || size === 1 || dimsEqual(known, size);
      if (!meets) c.concreteShape([known, size]);
      c.check(meets, `"${letter}" has the sizes ${String(known)} and ${String(size)}`);
      if (known === undefined || known === 1) sizes.set(letter, size);
    });
  }
  const all = parsed.flatMap((t) => t.axes);
  const widest = Math.max(...parsed.map((t) => t.axes.filter((l) => l.startsWith(".")).length));
  // Without "->": the dots, then the letters that occur once, in alphabetical order.
  const output = right === undefined
    ? [...dots(widest), ...[...new Set(all)].filter((l) => !l.startsWith(".") &&
      all.indexOf(l) === all.lastIndexOf(l)).sort()]
    : parseTerm(c, right, right.replace("...", "").length + (right.includes("...") ? widest : 0));
  c.check(output.every((l) => sizes.has(l)) && new Set(output).size === output.length,
    `The result "${right ?? ""}" names letters that no operand has, or one twice`);
  const terms = parsed.map((t) => diagonals(b, repeated(b, t, sizes)));
  let [total, ...rest] = terms as [Term, ...Term[]];
  while (rest.length > 0) {
    const [next, ...later] = rest as [Term, ...Term[]];
    const after = new Set([...output, ...later.flatMap((t) => t.axes)]);
    const [mine, theirs] = [new Set([...after, ...next.axes]), new Set([...after, ...total.axes])];
    total = joined(b, shrunk(b, total, mine), shrunk(b, next, theirs), after);
    rest = later;
  }
  return arrange(b, shrunk(b, total, new Set(output)), output);
};

// ---- Det -----------------------------------------------------------------------------------

/** Steps are written out one by one; larger matrices are no business of a network. */
const largestMatrix = 64;

/** Gaussian elimination with partial pivoting; the matrix shrinks by one each step. */
const determinant: Rule = (c) => {
  const { b } = c;
  let x = c.input(0);
  c.check(rankOf(x) >= 2, "Det needs a matrix");
  const size = c.concrete(dimAt(x, rankOf(x) - 1));
  c.expectDim(dimAt(x, rankOf(x) - 2), size, "Det needs a square matrix");
  if (size > largestMatrix) {
    return c.unsupported(`A determinant of ${size} x ${size} is not supported`);
  }
  const lead = rankOf(x) - 2;
  let det = b.broadcast(b.scalar(x.type.dtype, 1), shapeOf(x).slice(0, lead));
  for (let left = size; left > 0; left--) {
    const column = pick(b, x, lead + 1, 0);
    const height = b.unary("abs", column);
    const largest = b.binary("eq", height, b.reduce("max", height, [lead], true));
    const at = b.iota(shapeOf(column), lead, "int32");
    const row = b.reduce("min", b.where(largest, at, b.full(at, left)), [lead], true);
    const isPivot = unsqueeze(b, b.binary("eq", at, row), [lead + 1]);
    const pivotRow = b.reduce("sum", b.where(isPivot, x, b.full(x, 0)), [lead], true);
    const pivot = pick(b, pick(b, pivotRow, lead + 1, 0), lead, 0);
    const swapped = notFirst(b, row);
    det = b.mul(det, b.mul(pivot, b.reshape(
      b.where(swapped, b.full(swapped, -1, x.type.dtype), b.full(swapped, 1, x.type.dtype)),
      shapeOf(det))));
    if (left === 1) break;
    // The first row takes the pivot's place, then both leave with the first column.
    const first = b.sliceAxis(x, lead, 0, 1);
    const others = sliceFrom(b, b.where(isPivot, first, x), lead, 1);
    const safe = b.where(b.binary("eq", pivot, b.full(pivot, 0)), b.full(pivot, 1), pivot);
    const factor = b.div(b.sliceAxis(others, lead + 1, 0, 1), unsqueeze(b, safe, [lead, lead + 1]));
    x = sliceFrom(b, b.sub(others, b.mul(factor, pivotRow)), lead + 1, 1);
  }
  return det;
};

const notFirst = (b: Builder, row: Value): Value => b.not(b.binary("eq", row, b.full(row, 0)));

export const products: Family = [
  { name: "MatMul", since: { 1: (c) => matmul(c.b, c.input(0), c.input(1)) } },
  { name: "Gemm", since: { 1: gemm } },
  { name: "MatMulInteger", since: { 10: matmulInteger } },
  { name: "Einsum", since: { 12: einsum } },
  { name: "Det", since: { 11: determinant } },
];
