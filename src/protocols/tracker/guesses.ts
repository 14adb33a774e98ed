import type { Tallies } from "../../backplane/backplane.ts";

/** Failed joins of an account and of an address in a window (milliseconds). */
export interface GuessLimits {
  readonly perAccount: number;
  readonly perAddress: number;
  readonly window: number;
}

/** Counts failed joins, so that PINs cannot be found by trying (T-4.8). */
export class Guesses {
  readonly #tallies: Tallies;
  readonly #limits: GuessLimits;

  constructor(tallies: Tallies, limits: GuessLimits) {
    this.#tallies = tallies;
    this.#limits = limits;
  }

  /** Milliseconds for which the account or its address may not try; 0 when it may. */
  async blockedFor(account: string, address: string): Promise<number> {
    const { perAccount, perAddress } = this.#limits;
    const [byAccount, byAddress] = await this.#count(account, address, 0);
    return Math.max(
      byAccount.count >= perAccount ? byAccount.left : 0,
      byAddress.count >= perAddress ? byAddress.left : 0,
    );
  }

  /** Notes a failed attempt. */
  async missed(account: string, address: string): Promise<void> {
    await this.#count(account, address, 1);
  }

  #count(account: string, address: string, by: number) {
    const { window } = this.#limits;
    return Promise.all([
      this.#tallies.count(`tracker:misses:account:${account}`, window, by),
      this.#tallies.count(`tracker:misses:address:${address}`, window, by),
    ]);
  }
}
