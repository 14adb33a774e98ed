import type { Socket as IoSocket } from "socket.io";

/** A Socket.IO packet as its encoder gives it: the text, then one buffer for each attachment. */
export type Encoded = readonly (string | Uint8Array)[];

/** A connection that can listen to native topics: an engine socket. */
export interface TopicConnection {
  /** True once a WebSocket is the transport and nothing waits in front of it, so that topics reach it in order. */
  readonly live: boolean;
  /** Takes effect when the connection is live. */
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** Sends a message to every other live subscriber of a topic. */
  publish(topic: string, data: string): void;
}

/** The sides of socket.io 4.8's `Socket` that its types keep private, but that its adapters are made to use. */
export interface CoreSocket {
  readonly conn: TopicConnection;
  readonly client: { writeToEngine(packet: Encoded, options: { volatile?: boolean }): void };
  /** What to call when the client acknowledges, by packet id. */
  readonly acks: Map<number, (value: unknown) => void>;
}

/** The same socket with those sides out. */
export function core(socket: IoSocket): CoreSocket {
  return socket as unknown as CoreSocket;
}
