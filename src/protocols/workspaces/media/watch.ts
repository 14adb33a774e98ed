import type { Log } from "../../../observe/log.ts";
import type { Grants } from "./grants.ts";
import { JanusAway, JanusRefusal } from "./janus/call.ts";
import type { JanusServer } from "./janus/server.ts";
import type { MediaServerState } from "./media.ts";
import type { Restoration } from "./restoration.ts";
import type { ServerState, ServerStates } from "./server-states.ts";
import { settle } from "./settle.ts";

export interface WatchParts {
  readonly servers: ReadonlyMap<string, JanusServer>;
  readonly states: ServerStates;
  readonly grants: Grants;
  readonly log: Log;
  readonly tell: (socketId: string, userId: string, data: MediaServerState) => void;
}

/** Knows which servers are up (W-10.21, W-10.22). */
export class Watch {
  readonly #parts: WatchParts;
  /** Servers that are being reported as down. */
  readonly #reporting = new Map<JanusServer, Promise<void>>();
  /** Servers that answered the last probe of this node. */
  readonly #answering = new Set<JanusServer>();

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** How many servers answer. */
  get up(): number {
    return this.#answering.size;
  }

  /** Asks every server for a sign of life. One that may have restarted is looked through. */
  async run(restoration: Restoration): Promise<void> {
    const states = await this.#parts.states.read();
    await settle(states.map((state) => this.#probe(state, restoration)));
  }

  /** A server did not answer: it is down for all nodes, and its conversations are told, once (W-10.24). */
  away(server: JanusServer, reason: unknown): void {
    this.#answering.delete(server);
    if (this.#reporting.has(server)) return;
    const reporting = this.#report(server, reason)
      .catch((error: unknown) => this.#parts.log.warn({ error }, "a media server is down, and it cannot be noted"))
      .finally(() => this.#reporting.delete(server));
    this.#reporting.set(server, reporting);
  }

  /** Resolves when nothing is being reported. */
  async idle(): Promise<void> {
    await Promise.all(this.#reporting.values());
  }

  async #probe({ url, downSince }: ServerState, restoration: Restoration): Promise<void> {
    const { servers, states, log } = this.#parts;
    const server = servers.get(url);
    if (!server) return;
    try {
      await server.probe();
      await this.#lookThrough(server, downSince !== null, restoration);
      this.#answering.add(server);
    } catch (error) {
      if (!(error instanceof JanusAway || error instanceof JanusRefusal)) throw error;
      this.away(server, error);
      await this.idle();
      return;
    }
    if (downSince && (await states.markUp(url))) log.info({ server: hostOf(server) }, "media server is up");
  }

  async #lookThrough(server: JanusServer, wasDown: boolean, restoration: Restoration): Promise<void> {
    if (!server.suspect) return;
    // Set again meanwhile when the server restarts once more.
    server.suspect = false;
    // All that a server hosted when it went down is restored anyway.
    if (wasDown) return;
    await restoration.verify(server).catch((error: unknown) => {
      server.suspect = true;
      throw error;
    });
  }

  async #report(server: JanusServer, reason: unknown): Promise<void> {
    const { states, grants, tell, log } = this.#parts;
    const { url } = server.addresses;
    if (!(await states.markDown(url))) return;
    log.warn({ server: hostOf(server), error: reason }, "media server is down");
    for (const { socketId, userId } of await grants.holders(url)) tell(socketId, userId, { state: "down" });
  }
}

/** What may be logged of a server: its URL may hold credentials. */
function hostOf(server: JanusServer): string {
  return new URL(server.addresses.url).host;
}
