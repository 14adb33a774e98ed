import { DatabaseUnavailable } from "../../database/database.ts";
import { afterPatience } from "./patience.ts";

/** Milliseconds that work waits for its turn (W-8.3), by the system's clock as in the database. */
const PATIENCE = 5_000;

/**
 * Work under the same key runs one after the other on this node. The database's row locks keep nodes apart; this keeps
 * the events of one user's actions in the order of the actions, since they are sent after the commit (W-8.3, W-8.4).
 */
export class Lanes {
  readonly #ends = new Map<string, Promise<void>>();

  /** Throws `DatabaseUnavailable` when its turn does not come in time; the work is then not begun. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#ends.get(key);
    const { promise: mine, resolve: end } = Promise.withResolvers<void>();
    // Whoever gives up ends no turn before it has come.
    const last = before ? before.then(() => mine) : mine;
    this.#ends.set(key, last);
    void last.then(() => this.#ends.get(key) === last && this.#ends.delete(key));
    try {
      if (before) await inTime(before);
      return await work();
    } finally {
      end();
    }
  }
}

async function inTime(turn: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const refusal = new DatabaseUnavailable("the user's other changes take too long", { unsent: true });
  const cancel = afterPatience(PATIENCE, () => reject(refusal));
  try {
    await Promise.race([turn, late]);
  } finally {
    cancel();
  }
}
