import type { Channel } from "../../rawsocket/endpoint.ts";
import { type Close, closeOf } from "./closes.ts";
import { disconnectionFrame } from "./messages.ts";

/** What the chat knows of one socket. Plain data: it outlives a reload of the code. Times are epoch milliseconds. */
export interface Session {
  /** UUID in lower case. */
  readonly user: string;
  /** The client said `v=2` and gets more than the original sends (C-10.1). */
  readonly detailed: boolean;
  /** Rises with every connection of any user; 0 until the socket is admitted. */
  number: number;
  /** Epoch milliseconds at which its token ends; moved by `RefreshToken`. */
  expires: number;
  /** When its last frame came, as `clock.elapsed()` counts (C-7.3). */
  heard: number;
  /** Sends to rooms the user is not in (C-4.11). */
  strangeSends: number;
  /** A newer connection of the user takes its place (C-6.12). */
  replaced: boolean;
}

export type ChatChannel = Channel<Session | undefined>;

/** A channel whose user is known. */
export type UserChannel = Channel<Session>;

/** Milliseconds for confirmations that a socket is owed when the server ends it (C-7.1). */
const OWED = 1_000;

/** True for a client that asked for more than the original sends; known from the URL even before there is a session. */
export const isDetailed = ({ session, url }: ChatChannel): boolean =>
  session?.detailed ?? url.searchParams.get("v") === "2";

/** Ends a channel at once: the answer to something it did. What it sent after that is not handled. */
export function shut(channel: ChatChannel, close: Close): void {
  channel.close(close.code, close.reason, disconnectionFrame(close, isDetailed(channel)));
}

/**
 * Ends a channel that did nothing wrong: what it has sent is handled and confirmed first, for `within` milliseconds at
 * most. Resolves when the close is sent.
 */
export function finish(channel: ChatChannel, close: Close, within = OWED): Promise<void> {
  return channel.finish(within, close.code, close.reason, disconnectionFrame(close, isDetailed(channel)));
}

/** The last frame where the gateway ends a channel by itself. */
export function lastFrame(code: number, reason: string, channel: ChatChannel): string {
  return disconnectionFrame({ code, reason, comeBack: closeOf(code).comeBack }, isDetailed(channel));
}
