import type { Cancel } from "../clock.ts";

/** Why a channel ended. */
export type ChannelEnd = { readonly code: number; readonly reason: string; readonly by: "client" | "server" };

/** One raw WebSocket, from upgrade to close. */
export interface Channel<Session> {
  readonly id: string;
  /** Set by the endpoint when it knows who this is. */
  session: Session;
  readonly address: string;
  /** URL of the upgrade request. */
  readonly url: URL;
  readonly open: boolean;
  /** Sends one text frame. Past the outbox limit the channel is closed as a slow reader; later sends do nothing. */
  send(text: string): void;
  /** Sends several text frames, in one write where the socket takes it; else like `send` one after the other. */
  sendAll(texts: readonly string[]): void;
  /**
   * Ends the channel: `lastFrame` if given, then a close frame with code and reason (cut to 123 bytes of UTF-8). Frames
   * that wait in the inbox are dropped. A peer that does not answer within 5 s is cut off.
   */
  close(code: number, reason: string, lastFrame?: string): void;
  /**
   * Ends the channel once the frames it has received are handled: reads no more, waits at most `within` ms, then closes
   * like `close`. Frames not handled by then are still handled after the close, when `send` does nothing any more.
   * Resolves when the close was sent or the peer left.
   */
  finish(within: number, code: number, reason: string, lastFrame?: string): Promise<void>;
  /** Joins a topic: gets what `RawTopics.publish` sends there. */
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** Runs once after `ms` unless the channel ends before. */
  after(ms: number, task: () => void): Cancel;
}

/** Fan-out to the channels of one endpoint on this node, by Bun's native publish. */
export interface RawTopics<Session> {
  /** Sends a frame to every subscriber, except one channel if given. */
  publish(topic: string, text: string, except?: Channel<Session>): void;
  /** Channels subscribed to a topic on this node. */
  count(topic: string): number;
  /** All open channels of the endpoint on this node. */
  channels(): Iterable<Channel<Session>>;
}

/** A raw WebSocket endpoint of a protocol. */
export interface RawEndpoint<Session> {
  readonly kind: "rawsocket";
  /** Unique name inside the protocol; keeps the endpoint's channels over a reload. */
  readonly name: string;
  /** Without a last slash; served in both spellings. */
  readonly paths: readonly string[];
  /** Decides between endpoints that share a path; the first that claims a request gets it. Default: all. */
  claims?(url: URL): boolean;
  /** The answer to a plain HTTP request on one of the paths; null, the default, does not take it. */
  plainHttp?(request: Request): Response | null;
  /** Subprotocols spoken here. The first of them that a client offers is selected; without a match none is. */
  readonly subprotocols?: readonly string[];
  mounted?(topics: RawTopics<Session>): void;
  /**
   * Runs before the upgrade is answered, and the answer waits for it: for clients that mind the order of what they see on
   * an old socket and a new one. The channel is not open yet; what it is told to send, join or close happens right after
   * the upgrade. If the client leaves meanwhile, `closed` follows and `opened` never runs.
   */
  arriving?(channel: Channel<Session>, request: Request): void | Promise<void>;
  /** Every upgrade is accepted first; whoever is not welcome is told and closed here. Frames wait until it resolves. */
  opened(channel: Channel<Session>, request: Request): void | Promise<void>;
  /** One frame at a time per channel, in order of arrival. */
  received(channel: Channel<Session>, frame: string | Uint8Array): void | Promise<void>;
  /** Once per channel that `arriving` or `opened` was called for, after its last frame was handled. */
  closed?(channel: Channel<Session>, end: ChannelEnd): void | Promise<void>;
  /** A hook or a task of `after` threw or rejected. Without it the fault is logged and the channel closed with 1011. */
  failed?(channel: Channel<Session>, error: unknown): void;
  readonly limits: {
    /** A larger frame goes to `oversize`, or closes with 1009. */
    readonly maxFrameBytes: number;
    readonly maxOutboxBytes: number;
    /** Frames that may wait; beyond it the socket is not read until the inbox shrinks. */
    readonly maxInbox: number;
    /** Milliseconds between pings, and the time without any sign of life after which the channel is lost. */
    readonly pingInterval: number;
    readonly pongTimeout: number;
  };
  oversize?(channel: Channel<Session>): void;
  /** How the endpoint ends channels that the gateway must end. */
  readonly closes: {
    readonly slowReader: { readonly code: number; readonly reason: string };
    readonly noPong: { readonly code: number; readonly reason: string };
    readonly drain: { readonly code: number; readonly reason: string };
    readonly full: { readonly code: number; readonly reason: string };
    /** Builds the last frame for the closes above, where the protocol has one. */
    lastFrame?(code: number, reason: string, channel: Channel<Session>): string | undefined;
  };
}

/** Declares a raw WebSocket endpoint; erases its session type for the protocol's list. */
export function rawsocket<Session>(declaration: Omit<RawEndpoint<Session>, "kind">): RawEndpoint<unknown> {
  return { kind: "rawsocket", ...declaration } as unknown as RawEndpoint<unknown>;
}
