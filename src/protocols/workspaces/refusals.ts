import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";

const SECOND = 1_000;

/** Tells the log who was refused what; of one caller a line a second at most, so that it stays readable (W-13.5, W-13.19). */
export class Refusals {
  readonly #log: Log;
  readonly #clock: Clock;
  /** When each caller was last told of, oldest first. */
  readonly #told = new Map<string, number>();

  constructor(parts: { log: Log; clock: Clock }) {
    this.#log = parts.log;
    this.#clock = parts.clock;
  }

  /** @param caller a socket, user or address */
  tell(caller: string, fields: Readonly<Record<string, string>>): void {
    const now = this.#clock.elapsed();
    for (const [other, at] of this.#told) {
      if (now - at < SECOND) break;
      this.#told.delete(other);
    }
    if (this.#told.has(caller)) return;
    this.#told.set(caller, now);
    this.#log.info({ caller, ...fields }, "refused");
  }
}
