import type { Backplane } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";
import type { Database } from "../../../database/database.ts";
import type { Log } from "../../../observe/log.ts";
import type { ProtocolMetrics } from "../../../observe/metrics.ts";
import type { Task } from "../../protocol.ts";
import type { Seal } from "../seal.ts";
import type { WorkspacesSettings } from "../settings.ts";

/** What a client needs to join the media rooms of its conversation (W-3.23). Without media servers all are null. */
export interface ConnectionOptions {
  readonly janusServerUrl: string | null;
  readonly janusWsServerUrl: string | null;
  /** 50 hex characters (W-10.11). */
  readonly janusAuthToken: string | null;
  /** 50 hex characters (W-10.11). */
  readonly channelAuthToken: string | null;
  readonly audioRoomId: number | null;
  /** Same number as `audioRoomId`. */
  readonly videoRoomId: number | null;
}

/** Who is to enter which conversation. */
export interface Seat {
  readonly channelId: string;
  readonly userId: string;
  /** Socket id at the time of entering; a take-over changes it without telling media. */
  readonly connection: string;
}

/**
 * The right of one connection to use the media of one conversation. Its id is kept as `grant` with the connection
 * (`workspaces.connections.media_grant`) and moves with it in a take-over, so that tokens stay as they are (W-8.22).
 */
export interface Grant {
  /** Unique, never used again; null without media servers. */
  readonly id: string | null;
  readonly options: ConnectionOptions;
}

/** What a conversation is told of its media server (W-10.24). */
export type MediaServerState =
  | { readonly state: "down" }
  | { readonly state: "up"; readonly connectionOptions: ConnectionOptions };

/** No media could be prepared: the select that asked for it answers 503 `Media server is unavailable` (W-10.19). */
export class MediaUnavailable extends Error {
  override readonly name = "MediaUnavailable";
}

/**
 * The media servers behind the conversations (section 10).
 *
 * The order of a select is: checks, `admit`, one database transaction that stores the grant's id with the connection,
 * events, reply; and after the transaction `leave` for a grant that ended by it. A select that fails after `admit` gives
 * the grant back by `leave`, so none is ever without an owner (W-8.2). Grants that no connection holds (the process died
 * between `admit` and the transaction) are found by the sweep of W-10.13, which must leave young ones alone.
 */
export interface MediaServers {
  /** False when `WORKSPACES_JANUS_URL` is not set (W-10.3). */
  readonly enabled: boolean;
  /**
   * Makes the rooms of the channel if they are not there, once however many ask at a time (W-8.4), and two tokens for
   * this seat, recorded before they are sent (W-10.9..W-10.12). At most 10 s (W-10.17). Called outside any transaction
   * and any lock. Throws {@link MediaUnavailable}, or `DatabaseUnavailable`, with everything undone or queued to be (W-10.19).
   */
  admit(seat: Seat): Promise<Grant>;
  /**
   * The options of a grant as they were given, or as they are since the conversation moved to another server (W-8.23).
   * All null for null and for a grant that ended. Rejects only with `DatabaseUnavailable`.
   */
  options(grant: string | null): Promise<ConnectionOptions>;
  /**
   * Ends a grant: its connection left the conversation for any reason (W-10.13); the last one takes the rooms along
   * (W-10.14). Returns at once and never throws; what cannot be done now is done later (W-10.15). Null does nothing.
   */
  leave(grant: string | null): void;
  /** As `leave`, for somebody removed against their will: participants of theirs are kicked as well (W-10.18). */
  expel(grant: string | null, userId: string): void;
  /** Recurring work: probes (W-10.21), keep-alives (W-10.6), the sweep of tokens without a connection (W-10.13). */
  readonly tasks: readonly Task[];
  /** Ends control sessions and takes the node's own token back (W-10.5, W-10.6). */
  close(): Promise<void>;
}

/** What media servers stand on. */
export interface MediaParts {
  readonly settings: WorkspacesSettings;
  readonly database: Database;
  readonly backplane: Backplane;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProtocolMetrics;
  readonly seal: Seal;
  /**
   * Sends `conversation-broadcast` `{action: "media-server-state", userId, data}` to one socket, on whichever node it is
   * (W-10.24). Which sockets hold which grants stands in `workspaces.connections`.
   */
  readonly tell: (socketId: string, userId: string, data: MediaServerState) => void;
}

/** Without media servers, and for a grant that ended. */
export const noOptions: ConnectionOptions = {
  janusServerUrl: null,
  janusWsServerUrl: null,
  janusAuthToken: null,
  channelAuthToken: null,
  audioRoomId: null,
  videoRoomId: null,
};

/** Everything but media works (W-10.3). */
export const withoutMedia: MediaServers = {
  enabled: false,
  admit: async () => ({ id: null, options: noOptions }),
  options: async () => noOptions,
  leave() {},
  expel() {},
  tasks: [],
  async close() {},
};
