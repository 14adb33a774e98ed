import type { Cancel, Clock } from "../../clock.ts";

/**
 * Items that each fall due the same time after they were set. Since that time is one for all, insertion order is the
 * order of expiry and a single timer serves any number of items.
 */
export class Deadlines<Item> {
  readonly #clock: Clock;
  readonly #delay: number;
  readonly #expired: (item: Item) => void;
  readonly #due = new Map<Item, number>();
  #cancel: Cancel | null = null;

  /** `delay` in milliseconds; `expired` gets each item once it is due, after it was taken out. It must not throw. */
  constructor(clock: Clock, delay: number, expired: (item: Item) => void) {
    this.#clock = clock;
    this.#delay = delay;
    this.#expired = expired;
  }

  /** Puts an item in, or starts its time anew. */
  set(item: Item): void {
    this.#due.delete(item);
    this.#due.set(item, this.#clock.elapsed() + this.#delay);
    this.#cancel ??= this.#clock.after(this.#delay, () => this.#run());
  }

  /** Takes an item out; false if it was not in. */
  delete(item: Item): boolean {
    return this.#due.delete(item);
  }

  #run(): void {
    const now = this.#clock.elapsed();
    // The old timer's `#cancel` stays in place meanwhile, so that a `set` of `#expired` arms no second one.
    for (const [item, due] of this.#due) {
      if (due > now) break;
      this.#due.delete(item);
      this.#expired(item);
    }
    const next = this.#due.values().next();
    this.#cancel = next.done ? null : this.#clock.after(Math.max(0, next.value - now), () => this.#run());
  }
}
