/** Random numbers that a seed repeats, so that a failure found by chance can be seen again. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** At least 0, less than 1 (the mulberry32 generator). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** A whole number from 0 to `below - 1`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }

  /** Text of anything that text can hold: control characters, lone surrogates, astral characters. */
  text(length: number): string {
    let text = "";
    for (let i = 0; i < length; i++) {
      text += this.chance(0.8)
        ? String.fromCharCode(32 + this.below(95))
        : this.chance(0.2)
          ? String.fromCodePoint(0x1f300 + this.below(500))
          : String.fromCharCode(this.below(0x1_0000));
    }
    return text;
  }
}
