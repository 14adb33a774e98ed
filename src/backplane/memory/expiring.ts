import type { Clock } from "../../clock.ts";

/**
 * A map whose entries end by themselves. No timers: an ended entry is gone for every reader at once, and its memory is
 * given back as later writes walk over the map, a few entries each, so a write costs the same however large the map is.
 */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { value: V; until: number }>();
  #walk = this.#entries.entries();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The entries held in memory, ended ones that were not met yet among them. */
  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    return this.#living(key)?.value;
  }

  /** Milliseconds the entry has left; 0 when there is none. */
  left(key: string): number {
    const entry = this.#living(key);
    return entry === undefined ? 0 : entry.until - this.#clock.elapsed();
  }

  /** Sets an entry that lives until `until`, as `clock.elapsed()` counts. */
  set(key: string, value: V, until: number): void {
    this.#entries.set(key, { value, until });
    this.#collect();
  }

  /** True if there was a living entry. */
  delete(key: string): boolean {
    return this.#living(key) !== undefined && this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  #living(key: string): { value: V; until: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until > this.#clock.elapsed()) return entry;
    this.#entries.delete(key);
    return undefined;
  }

  /** Two steps a write: the walk gets around faster than writes can make the map grow. */
  #collect(): void {
    const now = this.#clock.elapsed();
    for (let step = 0; step < 2; step++) {
      const next = this.#walk.next();
      if (next.done) this.#walk = this.#entries.entries();
      else if (next.value[1].until <= now) this.#entries.delete(next.value[0]);
    }
  }
}
