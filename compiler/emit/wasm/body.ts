/**
 * What the emitter of a kernel body hands over: the code, the amount of parallel work and the
 * scratch memory. One file per body kind makes one of these.
 */
import type { Value } from "./code.ts";
import type { Scope } from "./scope.ts";

export interface Emission {
  /** How the kernel is computed, for reports and tests: "lanes along x", "packed 4x12, ...". */
  readonly strategy: string;
  /** Number of work items, which threads may share out in ranges. */
  work(scope: Scope): Value;
  /** Bytes of scratch memory that one thread needs. */
  scratch(scope: Scope): Value;
  /** The items `begin` to `end`, with 0 <= begin, end <= work. */
  run(scope: Scope, begin: Value, end: Value, scratch: Value): void;
}

export interface EmitOptions {
  /** Fused multiply-add, where the engine was probed for it. */
  readonly relaxedSimd: boolean;
}
