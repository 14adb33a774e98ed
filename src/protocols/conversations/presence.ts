import { type Backplane, BackplaneUnavailable, NODE_LEASE } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";

/** All sockets of the chat of all nodes, by user. */
const CHAT = "conversations:sockets";
/** Those of the auction namespaces, which show nobody online. */
const AUCTIONS = "conversations:listeners";
/** Timers of users whose last socket has gone, while they may still come back unnoticed (V-6.10, V-6.11). */
const GONE = "conversations:gone";

/**
 * Who is online, counted by socket over all nodes (V-6.10). Somebody whose last socket has gone counts as online for as
 * long as he may come back unnoticed, so that what is asked here says the same as what was announced.
 */
export class Presence {
  readonly #backplane: Backplane;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #options: { readonly limit: number; readonly grace: number; readonly lease: number };
  /** Sockets of this node, by user: all that is known while the backplane is away. */
  readonly #local: Map<string, number>;

  /** @param options sockets a user may have; `grace` and `lease` in ms (V-9.10) */
  constructor(
    parts: { backplane: Backplane; clock: Clock; log: Log },
    options: { limit: number; grace: number; lease: number },
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
    const { admitted, first } = await this.#backplane.presence.join(CHAT, user, connection, { limit });
    if (!admitted) return null;
    this.#local.set(user, (this.#local.get(user) ?? 0) + 1);
    return { first: first && !(await this.#cameBack(user)) };
  }

  /** Takes a socket out. `last` is called when the user has gone by that; after the grace, whom `onGone` was given. */
  async leave(user: string, connection: string, last: (user: string) => void): Promise<void> {
    const left = (this.#local.get(user) ?? 1) - 1;
    if (left > 0) this.#local.set(user, left);
    else this.#local.delete(user);
    // Begun while the socket still counts, so that nobody who asks in between hears that the user is offline.
    const isAwaited = await this.#await(user, this.#options.grace);
    const { last: wasLast } = await this.#backplane.presence.leave(CHAT, user, connection);
    if (wasLast && !isAwaited) last(user);
  }

  /** Counts a socket that listens to auctions; false when the user has as many of them as he may (V-2.17). */
  async listen(user: string, connection: string): Promise<boolean> {
    const { limit } = this.#options;
    return (await this.#backplane.presence.join(AUCTIONS, user, connection, { limit })).admitted;
  }

  /** Takes one that listens out of the count. */
  async stopListening(user: string, connection: string): Promise<void> {
    await this.#backplane.presence.leave(AUCTIONS, user, connection);
  }

  /** The users among these who are online. While the backplane is away, those with a socket on this node. */
  async online(users: Iterable<string>): Promise<Set<string>> {
    const asked = [...new Set(users)];
    try {
      return await this.#among(asked);
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) throw error;
      return new Set(asked.filter((user) => this.#local.has(user)));
    }
  }

  /** Calls on one living node for each user who is not back after his grace, or after the lease of a node that died. */
  onGone(listener: (user: string) => void): () => void {
    const afterDeath = this.#options.lease - NODE_LEASE + this.#options.grace;
    const stopLost = this.#backplane.presence.onLost(async (set, { member }, last) => {
      if (set === CHAT && last && !(await this.#await(member, afterDeath))) listener(member);
    });
    const stopTimers = this.#backplane.timers.handle(GONE, async (user) => {
      if (!(await this.#among([user])).has(user)) listener(user);
    });
    return () => {
      stopLost();
      stopTimers();
    };
  }

  /** Calls for a user of this node whom the others took for gone, or did not know of. */
  onBack(listener: (user: string) => void): () => void {
    return this.#backplane.presence.onRestored(async (set, { member }, first) => {
      if (set === CHAT && first && !(await this.#cameBack(member))) listener(member);
    });
  }

  async #among(users: readonly string[]): Promise<Set<string>> {
    const { presence, timers } = this.#backplane;
    const [present, awaited] = await Promise.all([presence.among(CHAT, users), timers.pending(GONE, users)]);
    return present.union(awaited);
  }

  /** Has a user count as online for a time, whatever becomes of his sockets; false when it cannot be. Never rejects. */
  async #await(user: string, milliseconds: number): Promise<boolean> {
    if (milliseconds === 0) return false;
    try {
      await this.#backplane.timers.set(GONE, user, this.#clock.now() + milliseconds, "");
      return true;
    } catch (error) {
      this.#log.warn({ error }, "nobody is awaited while the backplane is away");
      return false;
    }
  }

  /** True when nobody has been told yet that the user had gone. Never rejects. */
  async #cameBack(user: string): Promise<boolean> {
    try {
      return await this.#backplane.timers.cancel(GONE, user);
    } catch (error) {
      if (!(error instanceof BackplaneUnavailable)) this.#log.error({ error }, "a return was not noted");
      return false;
    }
  }
}
