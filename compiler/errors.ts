/** The project's two error classes, as everything above `targets/` imports them. */
export { InternalError, UserError } from "../targets/errors.ts";
