/**
 * The uniform doubles of NumPy's `default_rng(seed).random()`, for the golden arrays that are
 * defined by it: SeedSequence (O'Neill's seed_seq_fe, pool of four words) and PCG64 XSL-RR. Only
 * seeds below 2^32. Checked against values printed by NumPy.
 */

const mask32 = 0xffffffffn;
const mask64 = (1n << 64n) - 1n;
const mask128 = (1n << 128n) - 1n;
const multiplier = 0x2360ed051fc65da44385df649fccf645n;

export function numpyUniform(seed: number): () => number {
  const [a, b, c, d] = seedWords(seed);
  const increment = ((((c! << 64n) | d!) << 1n) | 1n) & mask128;
  let state = 0n;
  const step = (): void => {
    state = (state * multiplier + increment) & mask128;
  };
  step();
  state = (state + ((a! << 64n) | b!)) & mask128;
  step();
  return () => {
    step();
    const folded = (state >> 64n) ^ (state & mask64);
    const turn = state >> 122n;
    const word = ((folded >> turn) | (folded << ((64n - turn) & 63n))) & mask64;
    return Number(word >> 11n) * 2 ** -53;
  };
}

/** `SeedSequence(seed).generate_state(4, uint64)`. */
export function seedWords(seed: number): bigint[] {
  let hash = 0x43b0d7e5;
  const scramble = (value: number): number => {
    let x = (value ^ hash) >>> 0;
    hash = Math.imul(hash, 0x931e8875) >>> 0;
    x = Math.imul(x, hash) >>> 0;
    return (x ^ (x >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const z = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) >>> 0;
    return (z ^ (z >>> 16)) >>> 0;
  };
  const pool = [seed, 0, 0, 0].map(scramble);
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from !== to) pool[to] = mix(pool[to]!, scramble(pool[from]!));
    }
  }
  let out = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, k) => {
    let x = (pool[k % 4]! ^ out) >>> 0;
    out = Math.imul(out, 0x58f38ded) >>> 0;
    x = Math.imul(x, out) >>> 0;
    return BigInt((x ^ (x >>> 16)) >>> 0) & mask32;
  });
  return [0, 2, 4, 6].map((k) => words[k]! | (words[k + 1]! << 32n));
}
