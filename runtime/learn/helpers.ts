/**
 * Small graphs that learning needs around the derived ones, made ready once per engine: stacking
 * phases along the batch, sums, displaced outputs, zeros. Only the batch axis is symbolic.
 */
import { batchDim, floatType } from "../../compiler/energy/block.ts";
import { real } from "../../compiler/energy/constants.ts";
import { finish } from "../../compiler/energy/inline.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import type { Engine, Held, Prepared } from "./engine.ts";

type Body = (b: Builder, parts: readonly Value[]) => Value;

export class Helpers {
  readonly #engine: Engine;
  readonly #made = new Map<string, Promise<Prepared>>();
  readonly #constants = new Map<string, Held>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async #apply(
    key: string, parts: readonly Held[], shapes: readonly (readonly Dim[])[], body: Body,
  ): Promise<Held> {
    let made = this.#made.get(key);
    if (!made) {
      const b = new Builder(key.replaceAll(/[^A-Za-z0-9]+/g, "_"));
      const values = shapes.map((shape, i) => b.input(`x${i}`, floatType(shape)));
      made = this.#engine.prepare(finish(b, [["y", body(b, values)]]));
      this.#made.set(key, made);
    }
    const inputs = new Map(parts.map((part, i) => [`x${i}`, part]));
    return (await (await made).run(inputs)).get("y") as Held;
  }

  /** The samples of all parts, part by part: a new tensor. */
  async stack(parts: readonly Held[]): Promise<Held> {
    const shape = (parts[0] as Held).shape.slice(1);
    const own: readonly Dim[] = [batchDim, ...shape];
    return this.#apply(`stack ${parts.length} [${shape}]`, parts, parts.map(() => own),
      (b, values) => (values.length > 1 ? b.concat(values, 0)
        : b.mul(values[0] as Value, b.full(values[0] as Value, 1))));
  }

  /** Elementwise sum: a new tensor. */
  async sum(parts: readonly Held[]): Promise<Held> {
    const { shape } = parts[0] as Held;
    return this.#apply(`sum ${parts.length} [${shape}]`, parts, parts.map(() => shape),
      (b, values) => values.reduce((x, y) => b.addition(x, y)));
  }

  /** state - beta*error, with one beta per sample. */
  async displaced(state: Held, beta: Held, error: Held): Promise<Held> {
    const shape = state.shape.slice(1);
    const full: readonly Dim[] = [batchDim, ...shape];
    return this.#apply(`displaced [${shape}]`, [state, beta, error], [full, [batchDim], full],
      (b, [s, strength, e]) => {
        const spread = b.reshape(strength as Value, [batchDim, ...shape.map(() => 1)]);
        return b.sub(s as Value, b.mul(spread, e as Value));
      });
  }

  /** x - rate*y, for a rate [1]. */
  async moved(x: Held, rate: Held, y: Held): Promise<Held> {
    return this.#apply(`moved [${x.shape}]`, [x, rate, y], [x.shape, [1], y.shape],
      (b, [value, r, by]) => b.sub(value as Value,
        b.mul(b.reshape(r as Value, []), by as Value)));
  }

  /** (1 - share)*x + share*y. */
  async blended(x: Held, share: number, y: Held): Promise<Held> {
    return this.#apply(`blended ${share} [${x.shape}]`, [x, y], [x.shape, y.shape],
      (b, [old, fresh]) => b.addition(b.mul(real(b, 1 - share, old as Value), old as Value),
        b.mul(real(b, share, fresh as Value), fresh as Value)));
  }

  /** The elements of x at these places, under a key of their own. */
  async picked(key: string, x: Held, places: Int32Array, shape: readonly number[]): Promise<Held> {
    return this.#apply(`picked ${key}`, [x], [x.shape], (b, [value]) => {
      const flat = b.reshape(value as Value, [sizeOf(x.shape)]);
      const chosen = b.constant(tensor("int32", [places.length], places));
      return b.reshape(b.gather(flat, chosen, 0), shape);
    });
  }

  /** Shared by all who ask: not to be released. */
  zeros(shape: readonly number[]): Held {
    return this.constant(`zeros [${shape}]`, shape, () => new Float32Array(sizeOf(shape)));
  }

  ones(shape: readonly number[]): Held {
    return this.constant(`ones [${shape}]`, shape, () => new Float32Array(sizeOf(shape)).fill(1));
  }

  /** Numbers that stay the same under the same key; shared, not to be released. */
  constant(
    key: string, shape: readonly number[], data: () => Float32Array | Float64Array,
  ): Held {
    let held = this.#constants.get(key);
    if (!held) {
      held = this.#engine.hold(tensor("float32", shape, data()));
      this.#constants.set(key, held);
    }
    return held;
  }
}
