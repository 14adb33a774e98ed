import type { Backplane } from "../../../backplane/backplane.ts";
import type { Database } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";
import { Semaphore } from "../../../semaphore.ts";
import type { EndedPair, Grants } from "./grants.ts";
import type { Hosting, Hostings } from "./hostings.ts";
import { JanusAway } from "./janus/call.ts";
import type { JanusServer } from "./janus/server.ts";
import type { NodeTokens } from "./node-tokens.ts";
import type { ServerStates } from "./server-states.ts";
import { settle } from "./settle.ts";

/** Grants that are ended at once, and how many may wait; what is turned away the sweep finds. */
const CONCURRENCY = 8;
const MAX_WAITING = 10_000;
/** What is claimed at a time. */
const BATCH = 50;

export interface CleanUpParts {
  readonly database: Database;
  readonly backplane: Backplane;
  readonly servers: ReadonlyMap<string, JanusServer>;
  readonly states: ServerStates;
  readonly hostings: Hostings;
  readonly grants: Grants;
  readonly nodeTokens: NodeTokens;
  readonly log: Log;
  /** A server did not answer. */
  readonly away: (server: JanusServer, reason: unknown) => void;
}

/** Takes from the servers what nobody needs any more: now if it can be, else later (W-10.13..W-10.15, W-10.18). */
export class CleanUp {
  readonly #parts: CleanUpParts;
  readonly #turns = new Semaphore({
    permits: CONCURRENCY,
    maxWaiting: MAX_WAITING,
    refusal: () => new Error("too many grants wait for their end"),
  });

  constructor(parts: CleanUpParts) {
    this.#parts = parts;
  }

  /** Ends a grant in the background; never throws. */
  leave(grant: string, expelled: boolean): void {
    this.#turns
      .run(() => this.#end(grant, expelled))
      .catch((error: unknown) => this.#parts.log.warn({ error }, "a media grant could not be ended yet"));
  }

  /** Resolves when nothing of what `leave` was told is under way. */
  idle(): Promise<void> {
    return this.#turns.idle();
  }

  /** Tries again what failed, and does what nodes that died left undone. */
  async retry(): Promise<void> {
    const { states, grants, hostings } = this.#parts;
    const up = await states.up();
    for (;;) {
      const ended = await grants.claimEnded(up, BATCH);
      const done = await Promise.all(ended.map((pair) => this.#turns.run(() => this.#remove(pair))));
      if (ended.length < BATCH || done.includes(false)) break;
    }
    for (;;) {
      const closing = await hostings.claimClosing(up, BATCH);
      const done = await Promise.all(closing.map((hosting) => this.#turns.run(() => this.#destroy(hosting))));
      if (closing.length < BATCH || done.includes(false)) break;
    }
  }

  /** Ends grants that no connection holds, and tokens of nodes that died; drops what is out of reach for good. */
  async sweep(): Promise<void> {
    const { backplane, states, servers, hostings, grants, nodeTokens } = this.#parts;
    for (const grant of await grants.orphans(MAX_WAITING / 2)) this.leave(grant, false);
    const known = [...servers.keys()];
    await grants.purge(known);
    await hostings.purge(known);
    const living = await backplane.topics.nodes();
    await nodeTokens.purge(known, living);
    for (const stray of await nodeTokens.strays(await states.up(), living)) {
      await servers.get(stray.server)?.admin.removeToken(stray.token);
      await nodeTokens.forget(stray);
    }
  }

  async #end(grant: string, expelled: boolean): Promise<void> {
    const { database, grants, hostings } = this.#parts;
    for (;;) {
      const pair = await grants.find(grant);
      if (!pair) return;
      const ended = await database.orm.transaction(async (tx) => {
        const hosting = await hostings.hold(tx, pair.channelId);
        if (!(await grants.end(tx, pair, expelled))) return null;
        if (hosting?.server !== pair.server) return { closing: null };
        const isLast = (await grants.live(pair.channelId, pair.server, tx)).length === 0;
        return { closing: isLast && (await hostings.close(tx, hosting)) ? hosting : null };
      });
      // It has moved to another server between the two looks at it.
      if (!ended) continue;
      await this.#remove({ ...pair, expelled });
      if (ended.closing) await this.#destroy(ended.closing);
      return;
    }
  }

  /** Removes the tokens of an ended grant, and the person if they were expelled. */
  #remove(pair: EndedPair): Promise<boolean> {
    const { servers, hostings, grants } = this.#parts;
    const removal = async (server: JanusServer) => {
      const hosting = await hostings.find(pair.channelId, pair.server);
      const inRooms = hosting ? server.rooms.disallow(hosting, [pair.channelToken]) : Promise.resolve();
      await settle([server.admin.removeToken(pair.serverToken), inRooms]);
      if (hosting && pair.expelled && !(await grants.hasAnother(pair))) await server.rooms.kick(hosting, pair.userId);
      await grants.forget(pair);
    };
    return this.#attempt(servers.get(pair.server), removal, () => grants.release(pair));
  }

  #destroy(hosting: Hosting): Promise<boolean> {
    const { servers, hostings } = this.#parts;
    const destruction = async (server: JanusServer) => {
      await server.rooms.destroy(hosting);
      await hostings.forget(hosting);
    };
    return this.#attempt(servers.get(hosting.server), destruction, () => hostings.release(hosting));
  }

  /**
   * Does something on a server; false when that fails. If the server is away it is released for the next try, which
   * comes when it is up; else the lease runs out first, so that what fails every time does not stand in others' way.
   */
  async #attempt(
    server: JanusServer | undefined,
    work: (server: JanusServer) => Promise<void>,
    release: () => Promise<void>,
  ): Promise<boolean> {
    // Of a server that is no longer in the settings: kept on record for one that has it.
    if (!server) return false;
    const { states, away, log } = this.#parts;
    try {
      if (await states.isUp(server.addresses.url)) {
        await work(server);
        return true;
      }
    } catch (error) {
      if (!(error instanceof JanusAway)) {
        log.warn({ error }, "media could not be cleaned up yet");
        return false;
      }
      away(server, error);
    }
    await release();
    return false;
  }
}
