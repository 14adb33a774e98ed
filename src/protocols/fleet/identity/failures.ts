import type { Tallies } from "../../../backplane/backplane.ts";

const MINUTE = 60_000;

/** Failed logins by address, over all nodes (F-2.12). */
export class Failures {
  readonly #tallies: Tallies;
  readonly #max: number;

  constructor(tallies: Tallies, max: number) {
    this.#tallies = tallies;
    this.#max = max;
  }

  /** True when an address has failed so often that it is not listened to. */
  async exhausted(address: string): Promise<boolean> {
    const { count } = await this.#tallies.count(keyOf(address), MINUTE, 0);
    return count >= this.#max;
  }

  async note(address: string): Promise<void> {
    await this.#tallies.count(keyOf(address), MINUTE);
  }
}

const keyOf = (address: string) => `fleet:failures:${address}`;
