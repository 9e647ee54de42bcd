/** What the file format tests share: random arrays, random damage, and what damage may lead to. */
import fc from "fast-check";
import { UserError } from "../../../compiler/errors.ts";
import {
  elementTypes, widthOf, type ElementType, type NumericArray,
} from "../../../runtime/data/bytes.ts";

const shapeArbitrary = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 });

/** Arrays of every element type with random bits (NaNs included); rank 0 and empty axes too. */
export const arrayArbitrary: fc.Arbitrary<NumericArray> = fc
  .tuple(fc.constantFrom(...(Object.keys(elementTypes) as ElementType[])), shapeArbitrary)
  .chain(([dtype, shape]) => {
    const bytes = shape.reduce((p, d) => p * d, 1) * widthOf(dtype);
    return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((bits) => {
      if (dtype === "b1") bits.forEach((byte, i) => void (bits[i] = byte & 1));
      const data = new elementTypes[dtype](bits.buffer as ArrayBuffer);
      return { dtype, shape, data };
    });
  });

type Mutation = (bytes: Uint8Array) => Uint8Array;

const flip = (position: number, bit: number): Mutation => (bytes) => {
  const copy = bytes.slice();
  // Squared, so that most damage hits the header.
  const at = Math.floor(position * position * copy.length);
  if (at < copy.length) copy[at] = (copy[at] as number) ^ (1 << bit);
  return copy;
};

const unit = fc.double({ min: 0, max: 1, noNaN: true });

/** Cutting off the end, flipping a bit, or overwriting a byte. */
export const mutationArbitrary: fc.Arbitrary<Mutation> = fc.oneof(
  unit.map((share): Mutation => (bytes) => bytes.slice(0, Math.floor(share * bytes.length))),
  fc.tuple(unit, fc.nat(7)).map(([position, bit]) => flip(position, bit)),
  fc.tuple(unit, fc.nat(7), unit, fc.nat(7)).map(([p, a, q, b]): Mutation =>
    (bytes) => flip(q, b)(flip(p, a)(bytes))),
);

/** The message of the UserError that `work` throws; any other outcome fails the test. */
export function userMessage(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  throw new Error("expected a UserError, nothing was thrown");
}

/** The result, or undefined where a UserError was thrown; any other error goes through. */
export function onlyUserErrors<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
