import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";
import { connectionOptions } from "./connection-options.ts";
import type { Grants, TokenPair } from "./grants.ts";
import type { Hosting, Hostings } from "./hostings.ts";
import { JanusAway } from "./janus/call.ts";
import type { JanusServer } from "./janus/server.ts";
import type { MediaServerState } from "./media.ts";
import type { ServerStates } from "./server-states.ts";
import { settle } from "./settle.ts";

/** Conversations looked at, or restored, at a time. */
const BATCH = 10;

export interface RestorationParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly servers: ReadonlyMap<string, JanusServer>;
  readonly states: ServerStates;
  readonly hostings: Hostings;
  readonly grants: Grants;
  readonly tell: (socketId: string, userId: string, data: MediaServerState) => void;
  /** A server did not answer. */
  readonly away: (server: JanusServer, reason: unknown) => void;
  /** Milliseconds after which the conversations of a server that is down move. */
  readonly failover: number;
}

/** Gives conversations their rooms back: where they were (W-10.23), or on another server (W-10.25). */
export class Restoration {
  readonly #parts: RestorationParts;

  constructor(parts: RestorationParts) {
    this.#parts = parts;
  }

  /** Moves what has to move and restores all that may be gone and that no other node is at. */
  async run(): Promise<void> {
    await this.#failOver();
    const { states, hostings } = this.#parts;
    for (;;) {
      const stale = await hostings.claimStale(await states.up(), BATCH);
      await settle(stale.map((hosting) => this.#restore(hosting)));
      if (stale.length < BATCH) return;
    }
  }

  /** The rooms of a conversation were found missing: who is in it is told, once, and they are restored (W-10.24). */
  async lost(hosting: Hosting, seenAt: Date): Promise<void> {
    const { hostings, grants, tell } = this.#parts;
    if (!(await hostings.markStale(hosting, seenAt))) return;
    const holders = await grants.holders(hosting.server, hosting.channelId);
    for (const { socketId, userId } of holders) tell(socketId, userId, { state: "down" });
  }

  /** Looks which conversations of a server that may have restarted lost their rooms. Throws what a server may. */
  async verify(server: JanusServer): Promise<void> {
    const { clock, hostings } = this.#parts;
    // As of now: rooms that are made from here on are there.
    const seenAt = new Date(clock.now());
    const look = async (hosting: Hosting) => {
      if (hosting.madeAt && !(await server.rooms.exist(hosting))) await this.lost(hosting, seenAt);
    };
    const open = await hostings.on(server.addresses.url);
    for (let from = 0; from < open.length; from += BATCH) await settle(open.slice(from, from + BATCH).map(look));
  }

  async #restore(hosting: Hosting): Promise<void> {
    const { servers, hostings, grants, log } = this.#parts;
    const server = servers.get(hosting.server);
    if (!server) return;
    try {
      const pairs = await grants.live(hosting.channelId, hosting.server);
      await server.rooms.create(hosting);
      if (pairs.length > 0) await this.#allow(server, hosting, pairs);
      await this.#takeBackEnded(server, hosting, pairs);
      await hostings.made(hosting, { restored: true });
      await this.#announce(server, hosting, pairs);
    } catch (error) {
      if (error instanceof JanusAway) this.#parts.away(server, error);
      log.warn({ error }, "a conversation's media could not be restored yet");
      await hostings.release(hosting);
    }
  }

  #allow(server: JanusServer, hosting: Hosting, pairs: readonly TokenPair[]): Promise<void> {
    const channelTokens = pairs.map(({ channelToken }) => channelToken);
    const inRooms = server.rooms.allow(hosting, channelTokens);
    return settle([inRooms, ...pairs.map(({ serverToken }) => server.admin.addToken(serverToken))]);
  }

  /** Whoever left meanwhile had their tokens removed before they were added again. */
  async #takeBackEnded(server: JanusServer, hosting: Hosting, pairs: readonly TokenPair[]): Promise<void> {
    const living = await this.#parts.grants.live(hosting.channelId, hosting.server);
    const ended = pairs.filter(({ id }) => !living.some((pair) => pair.id === id));
    if (ended.length === 0) return;
    const channelTokens = ended.map(({ channelToken }) => channelToken);
    const inRooms = server.rooms.disallow(hosting, channelTokens);
    await settle([inRooms, ...ended.map(({ serverToken }) => server.admin.removeToken(serverToken))]);
  }

  /** Each socket gets its own options and nobody else's (W-10.24). */
  async #announce(server: JanusServer, hosting: Hosting, pairs: readonly TokenPair[]): Promise<void> {
    const { grants, tell } = this.#parts;
    for (const { socketId, userId, grant } of await grants.holders(hosting.server, hosting.channelId)) {
      const pair = pairs.find(({ id }) => id === grant);
      if (!pair) continue;
      tell(socketId, userId, {
        state: "up",
        connectionOptions: connectionOptions(server.addresses, hosting, pair),
      });
    }
  }

  async #failOver(): Promise<void> {
    const { states, servers, hostings, clock, failover, log } = this.#parts;
    const all = await states.read();
    if (all.every(({ downSince }) => downSince !== null)) return;
    const deadline = clock.now() - failover;
    const lost = all.filter(({ downSince }) => downSince !== null && downSince.getTime() <= deadline);
    const strangers = await hostings.strangers([...servers.keys()]);
    for (const url of [...lost.map((state) => state.url), ...strangers]) {
      for (const hosting of await hostings.on(url)) {
        await this.#move(hosting).catch((error: unknown) => log.warn({ error }, "a conversation could not move yet"));
      }
    }
  }

  /** Gives a conversation to another server, with new tokens; `run` makes its rooms there. */
  async #move({ channelId, server: from }: Hosting): Promise<void> {
    const { database, states, hostings, grants } = this.#parts;
    await database.orm.transaction(async (tx) => {
      const to = await states.choose(tx);
      const hosting = await hostings.hold(tx, channelId);
      if (to === undefined || hosting?.server !== from) return;
      const pairs = await grants.live(channelId, from, tx);
      await hostings.abandon(tx, hosting);
      const opened = await hostings.open(tx, { ...hosting, server: to }, true);
      if (!opened) throw new Error("the channel's former rooms there are still being destroyed");
      for (const pair of pairs) await grants.move(tx, pair, to);
    });
  }
}
