/** The project's two error classes, under the name that everything above `targets/` imports them by. */
export { InternalError, UserError } from "../targets/errors.ts";
export type { UserErrorDetails } from "../targets/errors.ts";
