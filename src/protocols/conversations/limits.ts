import type { Tallies } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import { RateFault } from "./errors.ts";
import type { Window } from "./session.ts";

const MINUTE = 60_000;

/** Limits of a user over all nodes, per minute. */
export interface UserLimits {
  readonly messages: number;
  readonly requests: number;
}

/** What a user may do in a minute. */
export class Limits {
  readonly #tallies: Tallies;
  readonly #limits: UserLimits;

  constructor(tallies: Tallies, limits: UserLimits) {
    this.#tallies = tallies;
    this.#limits = limits;
  }

  /** Counts a message. Throws `RATE_LIMITED`. */
  message(user: string): Promise<void> {
    return this.#take("messages", user, this.#limits.messages);
  }

  /** Counts a request. Throws `RATE_LIMITED`. */
  request(user: string): Promise<void> {
    return this.#take("requests", user, this.#limits.requests);
  }

  async #take(what: string, user: string, perMinute: number): Promise<void> {
    const bucket = { rate: perMinute / 60, burst: perMinute };
    const { allowed, wait } = await this.#tallies.take(`conversations:${what}:${user}`, bucket);
    if (!allowed) throw new RateFault(wait);
  }
}

/** Counts one more in a window of a minute; how many it holds now. */
export function countInMinute(window: Window, clock: Clock): number {
  const now = clock.elapsed();
  if (now - window.since >= MINUTE) {
    window.since = now;
    window.count = 0;
  }
  window.count++;
  return window.count;
}
