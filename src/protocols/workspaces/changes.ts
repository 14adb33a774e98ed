import type { Backplane } from "../../backplane/backplane.ts";
import { BackplaneUnavailable } from "../../backplane/backplane.ts";
import type { Database, Orm } from "../../database/database.ts";
import { isDeadlock } from "../../database/errors.ts";
import type { Handovers } from "./handovers.ts";
import { Lanes } from "./lanes.ts";

/** Something to be done once the change is committed: an event, a closed socket. Never throws. */
export type Effect = () => void;

/** A change under way. */
export interface Change {
  /** The transaction; nothing else of the database may be used inside. */
  readonly tx: Orm;
  /** Adds an effect behind those added before. */
  after(effect: Effect): void;
  /** Has to be awaited once a user's row is held; `last` is the node that held it before (W-1.19). */
  held(userId: string, last: string | null): Promise<void>;
  /** Says that an effect tells something of a channel. The channel is held. */
  concerns(channelId: string): void;
  /** Has to be awaited before a channel ends: what other changes tell of it comes first (W-6.41). The channel is held. */
  ends(channelId: string): Promise<void>;
}

/**
 * Changes of what is shared: one transaction, then its effects in order. So nothing is told that did not happen (W-8.2),
 * and who reads after an event reads at least what it said (W-7.13).
 */
export class Changes {
  readonly #database: Database;
  readonly #backplane: Backplane;
  readonly #handovers: Handovers;
  readonly #lanes = new Lanes();

  constructor(parts: { database: Database; backplane: Backplane; handovers: Handovers }) {
    this.#database = parts.database;
    this.#backplane = parts.backplane;
    this.#handovers = parts.handovers;
  }

  /** For reading outside a change. */
  get orm(): Orm {
    return this.#database.orm;
  }

  /** Runs a change. Row locks are taken in the order user, channels by id, connections. */
  async run<T>(work: (change: Change) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const effects: Effect[] = [];
      const { promise: told, resolve: end } = Promise.withResolvers<void>();
      try {
        const result = await this.#database.orm.transaction((tx) =>
          work({
            tx,
            after: (effect) => void effects.push(effect),
            held: (userId, last) => this.#handovers.take(tx, userId, last, told),
            concerns: (channelId) => this.#handovers.note(channelId, told),
            ends: (channelId) => this.#handovers.hearAllOut(channelId),
          }),
        );
        for (const effect of effects) effect();
        return result;
      } catch (error) {
        // Postgres has ended one of two changes that waited for each other; nothing of it has happened.
        if (attempt >= 3 || !isDeadlock(error)) throw error;
      } finally {
        end();
      }
    }
  }

  /** A change in the lane of a user. */
  ofUser<T>(userId: string, work: (change: Change) => Promise<T>): Promise<T> {
    return this.#lanes.run(userId, () => this.run(work));
  }

  /** Throws BackplaneUnavailable while other nodes cannot be told of a change (W-11.25). */
  mustReachOthers(): void {
    if (!this.#backplane.up) throw new BackplaneUnavailable("other nodes are out of reach");
  }
}
