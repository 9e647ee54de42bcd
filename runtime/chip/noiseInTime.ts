/**
 * Noise at a time: what a process of `targets/noiseProcess.ts` is at any moment, for any of many
 * independent fluctuators, from counters alone. The same question has the same answer, in whatever
 * order and on whichever thread it is asked, and answers that lie apart in time are correlated as
 * the process says.
 *
 * A part is held from event to event of a Poisson process. Time is cut into stretches of one mean
 * interval; how many events a stretch has (Poisson, mean 1) and where they are follows from its
 * number, so that the last event before a time is found by looking at 1.6 stretches on average.
 */
import { noiseParts, type NoisePart, type NoiseProcess } from "../../targets/noiseProcess.ts";
import { randomBlock } from "../../compiler/ops/source.ts";
import { keyOf, normalFromWord, uniformAt, type Key } from "./normal.ts";

/** Chance of at most n events where one is expected. */
const POISSON = (() => {
  const sums: number[] = [];
  for (let n = 0, term = Math.exp(-1), sum = 0; n < 16; n++, term /= n) sums.push(sum += term);
  return sums;
})();
/** Counters of a stretch: the number of its events, their places, their values. */
const PER_STRETCH = 64;
const [PLACES, VALUES] = [1, 32] as const;
/** Stretches before time 0 have numbers too. */
const BEFORE_ZERO = 2 ** 20;

/** The key of one fluctuator. */
const ownKey = (key: Key, fluctuator: number): Key => randomBlock(key, fluctuator);

/** A value that is held for a while. */
interface Hold {
  /** Its counter. */
  readonly value: number;
  /** Seconds, at which it was drawn, and until which it surely stays. */
  readonly since: number;
  readonly until: number;
}

/** What is held at a time: since the last event of a Poisson process. */
function holdAt(key: Key, rate: number, time: number): Hold {
  const at = time * rate;
  const current = Math.floor(at);
  let until = current + 1;
  for (let stretch = current; ; stretch--) {
    const first = (stretch + BEFORE_ZERO) * PER_STRETCH;
    const drawn = uniformAt(key, first);
    const count = POISSON.findIndex((sum) => drawn < sum);
    let [last, value] = [-Infinity, 0];
    for (let i = 0; i < (count < 0 ? POISSON.length : count); i++) {
      const place = stretch + uniformAt(key, first + PLACES + i);
      if (place > at) until = Math.min(until, place);
      else if (place > last) [last, value] = [place, first + VALUES + i];
    }
    if (last > -Infinity) return { value, since: last / rate, until: until / rate };
  }
}

const normalOf = (key: Key, counter: number): number =>
  normalFromWord(randomBlock(key, counter)[0]);

/** What is drawn anew at the events of its own and held in between. */
export interface HeldPart {
  readonly rate: number;
  draw(key: Key, counter: number): number;
}

export const normalPart = ({ rate, variance }: NoisePart): HeldPart => ({
  rate, draw: (key, counter) => Math.sqrt(variance) * normalOf(key, counter),
});

/** The parts that a process is the sum of, with what each draws; none of white noise. */
export function heldParts(process: NoiseProcess): HeldPart[] {
  const parts = noiseParts(process) ?? [];
  if (process.kind !== "telegraph") return parts.map(normalPart);
  // The level is drawn anew at the sum of both rates: a share of the draws changes nothing.
  const { step, upTime, downTime } = process;
  const share = upTime / (upTime + downTime);
  return parts.map(({ rate }) => ({
    rate, draw: (key, counter) => step * ((uniformAt(key, counter) < share ? 1 : 0) - share),
  }));
}

/** Keys of the parts of a process, each with fluctuators of its own. */
const partKeys = (parts: readonly HeldPart[], key: Key): Key[] =>
  parts.map((_, i) => keyOf(0, key[0], key[1], i));

/**
 * The value of a process at a time, mean 0. White and flicker noise are normal at any one time,
 * telegraph noise has its two levels.
 * @param key the stream of all fluctuators of one kind
 * @param fluctuator number of the one that is asked for: a cell
 * @param time seconds, at least 0
 */
export function noiseAt(
  process: NoiseProcess, key: Key, fluctuator: number, time: number,
): number {
  if (process.kind === "white") {
    const held = Math.floor(time * 2 * process.bandwidth);
    return Math.sqrt(process.variance) * normalOf(ownKey(key, fluctuator), held);
  }
  const parts = heldParts(process);
  const keys = partKeys(parts, key);
  return parts.reduce((sum, { rate, draw }, i) => {
    const own = ownKey(keys[i] as Key, fluctuator);
    return sum + draw(own, holdAt(own, rate, time).value);
  }, 0);
}

/** Parts that a stretch of time does not outlast, and the share of the variance that it does. */
export interface SplitNoise {
  readonly lasting: readonly NoisePart[];
  /** Share of the variance in parts that are drawn anew more often than once in that time. */
  readonly fresh: number;
}

/** What of a process outlasts `duration` seconds, and what is forgotten within them. */
export function splitNoise(process: NoiseProcess, duration: number): SplitNoise {
  const parts = noiseParts(process);
  if (!parts) return { lasting: [], fresh: 1 };
  const lasting = parts.filter(({ rate }) => rate * duration < 1);
  const [all, kept] = [parts, lasting].map((list) =>
    list.reduce((sum, { variance }) => sum + variance, 0)) as [number, number];
  return { lasting, fresh: all > 0 ? 1 - kept / all : 1 };
}

/**
 * Sums of parts for many fluctuators as time goes on: what `noiseAt` says of a process of these
 * parts, remembered while it is held. No state of the noise, which is a function of time.
 */
export class HeldNoise {
  readonly #parts: readonly HeldPart[];
  readonly #keys: readonly Key[];
  readonly #since: Float64Array;
  readonly #until: Float64Array;
  readonly #value: Float32Array;

  constructor(parts: readonly HeldPart[], key: Key, count: number) {
    this.#parts = parts;
    this.#keys = partKeys(parts, key);
    this.#since = new Float64Array(parts.length * count).fill(Infinity);
    this.#until = new Float64Array(parts.length * count);
    this.#value = new Float32Array(parts.length * count);
  }

  /** The value of one fluctuator at a time. */
  at(fluctuator: number, time: number): number {
    let sum = 0;
    const count = this.#parts.length;
    for (let i = 0, at = fluctuator * count; i < count; i++, at++) {
      if (time < (this.#since[at] as number) || time >= (this.#until[at] as number)) {
        const own = ownKey(this.#keys[i] as Key, fluctuator);
        const { rate, draw } = this.#parts[i] as HeldPart;
        const hold = holdAt(own, rate, time);
        [this.#since[at], this.#until[at]] = [hold.since, hold.until];
        this.#value[at] = draw(own, hold.value);
      }
      sum += this.#value[at] as number;
    }
    return sum;
  }
}
