/**
 * Tests that need something a machine may lack (a WebGPU adapter, a browser, a circuit simulator).
 * Where it is missing they are not skipped in silence: the run's closing section names them *not
 * run*, with the reason and the one line that installs what is missing. Not for tests that are
 * unfinished or flaky; there is no place for those.
 */
import { describe } from "vitest";

/** Why something a test needs is not here, and the one line that brings it. */
export interface Missing {
  /** "WebGPU adapter", "Chromium". */
  readonly what: string;
  readonly reason: string;
  /** A command line. */
  readonly install: string;
}

export type Need<T> = { readonly value: T } | { readonly missing: Missing };

declare module "vitest" {
  interface TaskMeta {
    notRun?: Missing;
  }
}

/**
 * `describe` for tests that need `need`. The body always runs (so that the tests are counted), the
 * tests only where the need is met; `get` must be called inside tests and hooks, not beside them.
 */
export function describeNeeding<T>(need: Need<T>, name: string, body: (get: () => T) => void) {
  if ("value" in need) {
    describe(name, () => body(() => need.value));
    return;
  }
  const { missing } = need;
  describe(name, { skip: true, meta: { notRun: missing } }, () => {
    body(() => {
      throw new Error(`${missing.what} asked for outside of a test, and there is none`);
    });
  });
}
