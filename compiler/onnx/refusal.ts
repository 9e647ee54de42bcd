/**
 * The ways in which an import can be declined, as types: what is not supported, what needs a
 * number where the model has a symbol, and what needs the elements of an input. All are the
 * user's business (UserError); the last two are answered by `specialise`.
 */
import { UserError } from "../errors.ts";

/** Something that ONNX allows and crosstie does not do; honest, as opposed to wrong. */
export class UnsupportedError extends UserError {
  /** What is not supported, without the place. */
  readonly sentence: string;

  constructor(message: string, place: string, remedy?: string) {
    super(message, { place, remedy: remedy ?? "leave it out of the model, or convert it" });
    this.name = "UnsupportedError";
    this.sentence = message;
  }
}

/** A rule needs numbers for these symbolic sizes. */
export class NeedsConcrete extends UserError {
  readonly symbols: readonly string[];

  constructor(symbols: readonly string[], why: string, place: string) {
    const many = symbols.length > 1;
    super(`${why} needs ${symbols.join(", ")} to be ${many ? "numbers" : "a number"}`, {
      place,
      remedy: `bind ${many ? "them" : "it"}: ${symbols.map((s) => `${s}=...`).join(" ")}`,
    });
    this.name = "NeedsConcrete";
    this.symbols = symbols;
  }
}

/** A rule needs the elements of a value that depends on these graph inputs. */
export class NeedsValue extends UserError {
  readonly inputs: readonly string[];

  constructor(value: string, inputs: readonly string[], why: string, place: string) {
    super(`${why} depends on the elements of "${value}", computed from ${inputs.join(", ")}`, {
      place, remedy: "give the inputs, so that the model is specialised for them",
    });
    this.name = "NeedsValue";
    this.inputs = inputs;
  }
}
