import type { Tallies } from "../../backplane/backplane.ts";
import type { Counters } from "./counters.ts";
import { errors } from "./errors.ts";

/** So many calls in a window that starts with the first one. The window is in milliseconds. */
export interface Quota {
  readonly max: number;
  readonly window: number;
}

const SECOND = 1000;

/** The fixed limits of the REST routes (T-3.25). */
export const quotas = {
  register: { max: 5, window: 60 * SECOND },
  login: { max: 5, window: SECOND },
  refresh: { max: 5, window: SECOND },
  suggestion: { max: 1, window: SECOND },
  failedLogins: { max: 10, window: 300 * SECOND },
} as const satisfies Record<string, Quota>;

/** Quotas over all nodes. */
export class Limits {
  readonly #tallies: Tallies;
  readonly #counters: Counters;

  constructor(tallies: Tallies, counters: Counters) {
    this.#tallies = tallies;
    this.#counters = counters;
  }

  /** Counts one call. Throws `rate_limit_exceeded` when it is one too many. */
  async spend(what: string, who: string, quota: Quota): Promise<void> {
    const { count, left } = await this.#tallies.count(key(what, who), quota.window);
    if (count > quota.max) this.#refuse(left);
  }

  /** Throws `rate_limit_exceeded` when nothing is left of the quota; counts nothing. */
  async check(what: string, who: string, quota: Quota): Promise<void> {
    const { count, left } = await this.#tallies.count(key(what, who), quota.window, 0);
    if (count >= quota.max) this.#refuse(left);
  }

  /** Counts one call that was already checked. */
  async note(what: string, who: string, quota: Quota): Promise<void> {
    await this.#tallies.count(key(what, who), quota.window);
  }

  #refuse(left: number): never {
    this.#counters.throttled("rest");
    throw limitFault(left);
  }
}

/** `rate_limit_exceeded` that can be tried again after `wait` ms. */
export function limitFault(wait: number) {
  return errors.fault("rate_limit_exceeded", { retryAfter: Math.max(1, Math.ceil(wait / SECOND)) });
}

const key = (what: string, who: string) => `tracker:${what}:${who}`;
