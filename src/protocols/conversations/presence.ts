import { type Backplane, BackplaneUnavailable } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";

/** All admitted sockets of all nodes, by user. */
const SET = "conversations:sockets";
/** Timers of users whose last socket has gone, while they may still come back unnoticed (V-6.11). */
const GONE = "conversations:gone";
/** Users asked about at a time. */
const BATCH = 500;

/** Who is online, counted by socket over all nodes (V-6.10). */
export class Presence {
  readonly #backplane: Backplane;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #options: { readonly limit: number; readonly grace: number };
  /** Sockets of this node, by user: all that is known while the backplane is away. */
  readonly #local: Map<string, number>;

  constructor(
    parts: { backplane: Backplane; clock: Clock; log: Log },
    options: { limit: number; grace: number },
    local: Map<string, number>,
  ) {
    this.#backplane = parts.backplane;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#options = options;
    this.#local = local;
  }

  /** Adds a socket: null when the user has as many as he may, else whether he has just come online. */
  async enter(user: string, connection: string): Promise<{ first: boolean } | null> {
    const { limit } = this.#options;
    const { admitted, first } = await this.#backplane.presence.join(SET, user, connection, { limit });
    if (!admitted) return null;
    this.#local.set(user, (this.#local.get(user) ?? 0) + 1);
    return { first: first && !(await this.#cameBack(user)) };
  }

  /** Takes a socket out. `last` is called, now or after the grace, when the user has gone by that. */
  async leave(user: string, connection: string, last: (user: string) => void): Promise<void> {
    const left = (this.#local.get(user) ?? 1) - 1;
    if (left > 0) this.#local.set(user, left);
    else this.#local.delete(user);
    const { last: wasLast } = await this.#backplane.presence.leave(SET, user, connection);
    if (wasLast) await this.#gone(user, last);
  }

  /** The users among these who are online. While the backplane is away, those with a socket on this node. */
  async online(users: Iterable<string>): Promise<Set<string>> {
    const asked = [...new Set(users)];
    try {
      const online = new Set<string>();
      for (let at = 0; at < asked.length; at += BATCH) {
        const batch = asked.slice(at, at + BATCH);
        const found = await Promise.all(batch.map((user) => this.#backplane.presence.list(SET, user)));
        for (const [index, sockets] of found.entries()) if (sockets.length > 0) online.add(batch[index]!);
      }
      return online;
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) throw error;
      return new Set(asked.filter((user) => this.#local.has(user)));
    }
  }

  /** Calls on one living node for each user who went with a node that died, or whose grace is over. */
  onGone(listener: (user: string) => void): () => void {
    const stopLost = this.#backplane.presence.onLost((set, { member }, last) => {
      if (set === SET && last) void this.#gone(member, listener);
    });
    const stopTimers = this.#backplane.timers.handle(GONE, async (user) => {
      if (!(await this.online([user])).has(user)) listener(user);
    });
    return () => {
      stopLost();
      stopTimers();
    };
  }

  /** Calls for a user of this node whom the others took for gone, or did not know of. */
  onBack(listener: (user: string) => void): () => void {
    return this.#backplane.presence.onRestored((set, { member }, first) => {
      if (set === SET && first) listener(member);
    });
  }

  async #gone(user: string, listener: (user: string) => void): Promise<void> {
    const { grace } = this.#options;
    if (grace === 0) return listener(user);
    try {
      await this.#backplane.timers.set(GONE, user, this.#clock.now() + grace, "");
    } catch (error) {
      this.#log.warn({ error }, "no grace while the backplane is away");
      listener(user);
    }
  }

  /** True when nobody has been told yet that the user had gone. */
  async #cameBack(user: string): Promise<boolean> {
    if (this.#options.grace === 0) return false;
    try {
      return await this.#backplane.timers.cancel(GONE, user);
    } catch (error) {
      if (error instanceof BackplaneUnavailable) return false;
      throw error;
    }
  }
}
