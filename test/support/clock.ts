import type { Cancel, Clock } from "../../src/clock.ts";

interface Timer {
  at: number;
  readonly every: number | null;
  readonly task: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #elapsed = 0;
  /** What the wall clock shows beside the time that has passed. */
  #offset: number;
  readonly #timers = new Set<Timer>();

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#offset = start;
  }

  now(): number {
    return this.#offset + this.#elapsed;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  after(ms: number, task: () => void): Cancel {
    return this.#add({ at: this.#elapsed + ms, every: null, task });
  }

  every(ms: number, task: () => void): Cancel {
    return this.#add({ at: this.#elapsed + ms, every: ms, task });
  }

  /** Moves time forward, running what falls due on the way in order of its time. */
  advance(ms: number): void {
    const end = this.#elapsed + ms;
    for (;;) {
      let next: Timer | null = null;
      for (const timer of this.#timers) {
        if (timer.at <= end && (next === null || timer.at < next.at)) next = timer;
      }
      if (next === null) break;
      this.#elapsed = Math.max(this.#elapsed, next.at);
      if (next.every === null) this.#timers.delete(next);
      else next.at += next.every;
      next.task();
    }
    this.#elapsed = end;
  }

  /** Sets the wall clock forward or back, as the administrator of a machine does; no time passes by that. */
  adjust(ms: number): void {
    this.#offset += ms;
  }

  #add(timer: Timer): Cancel {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}
