/**
 * The two kinds of error this project throws on purpose. They live here, in the one folder that
 * imports nothing, and `compiler/errors.ts` hands them on. Not an error hierarchy: a caller needs
 * to know whose fault it was, no more.
 */

export interface UserErrorDetails {
  /** Where: a file, a node, an option, a JSON path. */
  readonly place?: string | undefined;
  /** What the person can do about it, as a sentence. */
  readonly remedy?: string | undefined;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?:]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/**
 * The user's input is wrong (exit code 1). The message reads `place: sentence. remedy.`
 * @param message one sentence that says what is wrong
 */
export class UserError extends Error {
  readonly place: string | undefined;
  readonly remedy: string | undefined;

  constructor(message: string, details: UserErrorDetails = {}) {
    const { place, remedy } = details;
    const head = place === undefined ? sentence(message) : `${place}: ${sentence(message)}`;
    super(remedy === undefined ? head : `${head} ${sentence(remedy)}`);
    this.name = "UserError";
    this.place = place;
    this.remedy = remedy;
  }
}

/** An invariant of ours does not hold (exit code 2). The message starts with `internal:`. */
export class InternalError extends Error {
  constructor(message: string) {
    super(`internal: ${message}`);
    this.name = "InternalError";
  }
}
