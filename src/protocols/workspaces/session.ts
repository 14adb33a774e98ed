import type { Peer } from "../../socketio/endpoint.ts";

/** What is known of one open socket. Plain data: it outlives a reload of the code. */
export interface Session {
  /** Since it authenticated. */
  identity: Identity | null;
  /** Failed `auth` events so far (W-2.30). */
  failures: number;
  /** When it began to send too much, and when it last did (W-5.12). Elapsed ms of the clock. */
  floodingSince: number;
  floodedAt: number;
  /** Ends the wait for its authentication (W-2.29). */
  endDeadline: () => void;
  /** Places it holds in the counts of its address; given back once. */
  readonly address: string;
  readonly place: string;
}

/** Whose socket it is, and where. */
export interface Identity {
  readonly userId: string;
  readonly workspaceId: string;
  readonly sessionId: string;
  /** When its session's newest access token ends, as last heard. Epoch milliseconds. */
  expires: number;
}

export type WorkspacesPeer = Peer<Session>;
