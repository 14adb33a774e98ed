import { isNotNull, ne, or } from "drizzle-orm";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Database } from "../../database/database.ts";
import type { Log } from "../../observe/log.ts";
import type { Authentication } from "./authentication.ts";
import type { Losses } from "./losses.ts";
import type { MediaServers } from "./media/media.ts";
import type { WorkspacesPeer } from "./session.ts";
import { connections as table, users } from "./tables.ts";

/** Presence set of the nodes that serve this protocol. */
const SET = "workspaces:nodes";

/** Parts of the watch over nodes. */
export interface NodeParts {
  readonly backplane: Backplane;
  readonly losses: Losses;
  readonly media: MediaServers;
  readonly database: Database;
  readonly log: Log;
}

/** Keeps the connections true to the nodes that hold their sockets (W-7.11, W-11.22, W-11.25, W-11.27). */
export class Nodes {
  readonly #parts: NodeParts;
  readonly #peers: Map<string, WorkspacesPeer>;
  readonly #authentication: Pick<Authentication, "resume">;
  /** Nodes that held connections but no lease when last looked at. */
  #missing = new Set<string>();
  readonly #stops: (() => void)[] = [];

  constructor(parts: NodeParts, peers: Map<string, WorkspacesPeer>, authentication: Pick<Authentication, "resume">) {
    this.#parts = parts;
    this.#peers = peers;
    this.#authentication = authentication;
  }

  /** Tells the other nodes of this one, and listens for those that die. */
  async open(): Promise<void> {
    const { backplane, losses, log } = this.#parts;
    const { presence, node } = backplane;
    this.#stops.push(
      presence.onLost((set, lost) => {
        if (set !== SET || lost.node === node) return;
        losses
          .abandon(lost.node)
          .catch((error: unknown) => log.warn({ error }, "a dead node's sockets wait for the sweep"));
      }),
      presence.onRestored((set) => {
        if (set === SET) void this.#reclaim();
      }),
    );
    await presence.join(SET, node, node);
  }

  /**
   * Gives up the connections of nodes without a lease that nobody was told of, such as those of the only node before its
   * restart. A node has to be missing twice: right after the store lost its data, living ones are missing too.
   */
  async sweep(): Promise<void> {
    const { backplane, losses } = this.#parts;
    const holding = await losses.nodes();
    const living = new Set((await backplane.presence.list(SET)).map(({ node }) => node));
    const missing = new Set(holding.filter((node) => node !== backplane.node && !living.has(node)));
    for (const node of missing) if (this.#missing.has(node)) await losses.abandon(node);
    this.#missing = missing;
  }

  /** What an earlier run left behind, where no other node can hold it: everybody is offline (W-11.27) and out (W-10.13). */
  async startAlone(): Promise<void> {
    const { database, backplane, media } = this.#parts;
    const gone = await database.orm.transaction(async (tx) => {
      await tx
        .update(users)
        .set({ visibleStatus: "offline", chosenStatus: null, chosenBy: null })
        .where(or(ne(users.visibleStatus, "offline"), isNotNull(users.chosenStatus)));
      return tx.delete(table).where(ne(table.node, backplane.node)).returning({ grant: table.mediaGrant });
    });
    for (const { grant } of gone) media.leave(grant);
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  /** This node was given up by mistake: its sockets count again, at once (W-11.22). */
  async #reclaim(): Promise<void> {
    for (const peer of [...this.#peers.values()]) {
      try {
        if (!(await this.#parts.losses.reclaim(peer.id))) await this.#authentication.resume(peer);
      } catch (error) {
        // Its client comes back and starts anew.
        this.#parts.log.warn({ error }, "a socket could not be reclaimed");
        peer.drop();
      }
    }
  }
}
