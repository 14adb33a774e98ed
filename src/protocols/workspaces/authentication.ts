import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import { type Database, DatabaseUnavailable } from "../../database/database.ts";
import { Semaphore } from "../../semaphore.ts";
import { roleIn } from "./access.ts";
import type { Connections } from "./connections.ts";
import { errors } from "./errors.ts";
import type { MediaServers } from "./media/media.ts";
import { Auth, isSane, type OnlineStatus } from "./messages.ts";
import type { Identity, WorkspacesPeer } from "./session.ts";
import type { Bearer, Sessions } from "./sessions.ts";

/**
 * Sockets that authenticate at the same time on this node, half as many as it has connections to the database: what
 * those that are in ask next does not wait behind all that come back at once (W-15.20).
 */
const AT_ONCE = 4;
const MAX_WAITING = 20_000;

/** Payload of `auth-success` (W-6.1, W-8.23). */
export interface AuthSuccess {
  readonly userId: string;
  readonly transaction?: string;
  readonly reconnected: boolean;
  readonly onlineStatus: OnlineStatus;
  readonly channelId?: string;
  readonly channelAuthToken?: string | null;
  readonly serverAuthToken?: string | null;
  readonly audioRoomId?: number | null;
  readonly videoRoomId?: number | null;
  readonly janusServerUrl?: string | null;
  readonly janusWsServerUrl?: string | null;
}

/** Parts of the authentication. */
export interface AuthenticationParts {
  readonly database: Database;
  readonly sessions: Sessions;
  readonly connections: Connections;
  readonly media: MediaServers;
  readonly clock: Clock;
}

/** The event `auth`, and how long it lasts (section 2). */
export class Authentication {
  readonly #parts: AuthenticationParts;
  /** The authenticated sockets of this node by their id. */
  readonly #peers: Map<string, WorkspacesPeer>;
  /** Milliseconds a socket may outlive its token. */
  readonly #tokenGrace: number;
  readonly #turns = new Semaphore({
    permits: AT_ONCE,
    maxWaiting: MAX_WAITING,
    refusal: () => new DatabaseUnavailable("too many sockets authenticate at once", { unsent: true }),
  });

  constructor(parts: AuthenticationParts, peers: Map<string, WorkspacesPeer>, options: { tokenGrace: number }) {
    this.#parts = parts;
    this.#peers = peers;
    this.#tokenGrace = options.tokenGrace;
  }

  /** Authenticates a socket (W-2.20 to W-2.28). Throws the faults of these clauses, and those of stores that are away. */
  async authenticate(peer: WorkspacesPeer, input: unknown): Promise<AuthSuccess> {
    if (!isSane(input) || !v.is(Auth, input)) throw errors.fault("auth_shape");
    return this.#turns.run(() => this.#authenticate(peer, input));
  }

  async #authenticate(peer: WorkspacesPeer, input: Auth): Promise<AuthSuccess> {
    // Its deadline may have come while it waited for its turn.
    if (!peer.socket.connected) throw errors.fault("auth_timeout");
    const bearer = await this.#bearer(input.token);
    const { workspaceId, onlineStatus, prevSocketId, transaction } = input;
    const known = peer.session.identity;
    if (known && known.userId !== bearer.userId) {
      const isMember = (await roleIn(this.#parts.database.orm, workspaceId, bearer.userId)) !== null;
      throw errors.fault(isMember ? "other_user" : "cannot_listen");
    }
    const { userId, sessionId } = bearer;
    const identity: Identity = { userId, workspaceId, sessionId, expires: bearer.accessExpiresAt.getTime() };
    // Listed first: whoever ends the session from here on finds the socket.
    this.#peers.set(peer.id, peer);
    try {
      const opened = await this.#parts.connections.open(peer, { identity, onlineStatus, prevSocketId });
      peer.session.identity = identity;
      peer.session.endDeadline();
      const { reconnected } = opened;
      return {
        userId,
        ...(transaction === undefined ? {} : { transaction }),
        reconnected,
        onlineStatus: opened.onlineStatus,
        ...(opened.channelId === null ? {} : await this.#conversation(opened.channelId, opened.mediaGrant)),
      };
    } catch (error) {
      if (!peer.session.identity) this.#peers.delete(peer.id);
      throw error;
    }
  }

  /** Makes a live socket a fresh connection again, after its own was given up by mistake (W-11.22). */
  async resume(peer: WorkspacesPeer): Promise<void> {
    const { identity } = peer.session;
    if (identity) await this.#parts.connections.open(peer, { identity });
  }

  /** Sockets whose session's newest token ended longer ago than they may outlive it (W-2.12, W-2.13). */
  async expired(): Promise<WorkspacesPeer[]> {
    const now = this.#parts.clock.now();
    const due = [...this.#peers.values()].flatMap((peer) => {
      const { identity } = peer.session;
      return identity && identity.expires + this.#tokenGrace <= now ? [{ peer, identity }] : [];
    });
    if (due.length === 0) return [];
    // A refresh, on whichever node, has given the session another token meanwhile.
    const ends = await this.#parts.sessions.expiries([...new Set(due.map(({ identity }) => identity.sessionId))]);
    return due.flatMap(({ peer, identity }) => {
      identity.expires = ends.get(identity.sessionId)?.getTime() ?? identity.expires;
      return identity.expires + this.#tokenGrace <= now ? [peer] : [];
    });
  }

  /** W-2.21 */
  async #bearer(token: string): Promise<Bearer> {
    try {
      return await this.#parts.sessions.bearer(token);
    } catch (error) {
      if (errors.owns(error)) throw errors.fault("invalid_access_token", { cause: error });
      throw error;
    }
  }

  async #conversation(channelId: string, grant: string | null) {
    const options = await this.#parts.media.options(grant);
    const { janusAuthToken: serverAuthToken, channelAuthToken, audioRoomId, videoRoomId } = options;
    const { janusServerUrl, janusWsServerUrl } = options;
    return {
      channelId,
      channelAuthToken,
      serverAuthToken,
      audioRoomId,
      videoRoomId,
      janusServerUrl,
      janusWsServerUrl,
    };
  }
}
