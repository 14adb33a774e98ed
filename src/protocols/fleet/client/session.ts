import type { Channel } from "../../../rawsocket/endpoint.ts";
import type { UnitRights } from "../units/access.ts";

/** Whom a client socket speaks for. */
export interface Login {
  readonly user: number;
  /** Hash of the SESSID. */
  readonly hash: string;
  /** Epoch milliseconds; moved by websocketAuth. */
  expiresAt: number;
  /** Replaced as a whole when rights change. */
  rights: UnitRights;
}

/** What is known of one client socket. Plain data: it outlives a reload of the code. */
export interface Session {
  /** Null until `auth` succeeds. */
  login: Login | null;
  /** When the bucket of requests will be full again. */
  bucketFull: number;
  /** Refusals and faults within the running minute. */
  readonly refusals: Window;
  readonly faults: Window;
  /** Per unit: the last first answer that has to leave before the next one may (F-4.2). */
  readonly lanes: Map<number, Promise<void>>;
  /** Requests whose `cmd-status` has not left yet. */
  readonly unanswered: Map<string, Promise<void>>;
}

/** A count within a minute that starts with the first one. */
export interface Window {
  since: number;
  count: number;
}

export type ClientChannel = Channel<Session>;

export const newSession = (): Session => ({
  login: null,
  bucketFull: 0,
  refusals: newWindow(),
  faults: newWindow(),
  lanes: new Map(),
  unanswered: new Map(),
});

export const newWindow = (): Window => ({ since: Number.NEGATIVE_INFINITY, count: 0 });

const MINUTE = 60_000;

/** Counts one more; returns how many there were in this minute. */
export function countIn(window: Window, now: number): number {
  if (now - window.since >= MINUTE) Object.assign(window, { since: now, count: 0 });
  return ++window.count;
}
