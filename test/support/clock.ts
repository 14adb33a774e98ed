import type { Cancel, Clock } from "../../src/clock.ts";

interface Timer {
  at: number;
  readonly every: number | null;
  readonly task: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now: number;
  readonly #timers = new Set<Timer>();

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): Cancel {
    return this.#add({ at: this.#now + ms, every: null, task });
  }

  every(ms: number, task: () => void): Cancel {
    return this.#add({ at: this.#now + ms, every: ms, task });
  }

  /** Moves time forward, running what falls due on the way in order of its time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Timer | null = null;
      for (const timer of this.#timers) {
        if (timer.at <= end && (next === null || timer.at < next.at)) next = timer;
      }
      if (next === null) break;
      this.#now = Math.max(this.#now, next.at);
      if (next.every === null) this.#timers.delete(next);
      else next.at += next.every;
      next.task();
    }
    this.#now = end;
  }

  #add(timer: Timer): Cancel {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}
