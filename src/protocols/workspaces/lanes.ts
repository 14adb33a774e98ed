/**
 * Work under the same key runs one after the other on this node. The database's row locks keep nodes apart; this keeps
 * the events of one user's actions in the order of the actions, since they are sent after the commit (W-8.3, W-8.4).
 */
export class Lanes {
  readonly #ends = new Map<string, Promise<unknown>>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#ends.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#ends.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#ends.get(key) === mine) this.#ends.delete(key);
    }
  }
}
