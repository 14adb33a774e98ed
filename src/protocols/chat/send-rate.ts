import type { Tallies } from "../../backplane/backplane.ts";

/** Milliseconds in which sends over the rate add up to strikes. */
const STRIKE_WINDOW = 60_000;

/** How many messages a user may send on this node (C-4.14). */
export class SendRate {
  readonly #tallies: Tallies;
  readonly #options: { readonly rate: number; readonly burst: number; readonly strikes: number };

  /** `tallies` are those of this node. */
  constructor(tallies: Tallies, options: { rate: number; burst: number; strikes: number }) {
    this.#tallies = tallies;
    this.#options = options;
  }

  /** Counts a send: within the rate, over it, or over it once too often. */
  async count(user: string): Promise<"within" | "over" | "out"> {
    const { allowed } = await this.#tallies.take(user, this.#options);
    if (allowed) return "within";
    const { count } = await this.#tallies.count(user, STRIKE_WINDOW);
    return count < this.#options.strikes ? "over" : "out";
  }
}
