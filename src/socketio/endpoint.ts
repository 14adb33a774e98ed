import type { Namespace, Socket } from "socket.io";
import type { GenericSchema, InferOutput } from "valibot";
import type { CorsPolicy } from "../http/cors.ts";

/** What a namespace knows of a connection before it admits it. */
export interface Handshake {
  /** Engine.IO revision of the client. */
  readonly revision: 3 | 4;
  /** Header of the request that opened the Engine.IO session, by lower-case name. */
  header(name: string): string | undefined;
  /** Query of the request that opened the Engine.IO session. */
  readonly query: Readonly<Record<string, string>>;
  /** Payload of the CONNECT packet (revision 4), or the query inside it (revision 3). Anything a client may send. */
  readonly auth: unknown;
  readonly address: string;
  /** Address of the TCP peer: that of the client, or of a trusted proxy in front of it. */
  readonly peer: string;
}

/**
 * The answer of `authenticate`.
 * - `session`: admitted; kept on the connection as `peer.session`.
 * - `refuse: "event"`: CONNECT, one event, DISCONNECT, in this order with nothing between; the transport is closed when
 *   the client has taken them, at most 5 s later (existing Socket.IO 2 clients read this, T-2.20).
 * - `refuse: "error"`: a CONNECT_ERROR packet. On revision 3 `data` (or else `message`) is the whole payload. The
 *   transport stays for `linger` ms (default: the connect timeout) so that the client can leave by itself.
 * - `refuse: "close"`: the transport is closed without a word; the client comes back.
 */
export type Admission<Session> =
  | { readonly session: Session }
  | { readonly refuse: "event"; readonly event: string; readonly payload: unknown }
  | { readonly refuse: "error"; readonly message: string; readonly data?: unknown; readonly linger?: number }
  | { readonly refuse: "close" };

/** Why a connection ended. */
export type LeaveReason =
  /** The client sent DISCONNECT or an engine close. */
  | "client"
  /** The server put it out (`peer.kick`). */
  | "kicked"
  /** The node is draining. */
  | "drain"
  /** Heartbeat missed, broken pipe, slow reader, protocol fault: anything a reconnect may mend. */
  | "lost";

/** One admitted connection to a namespace. */
export interface Peer<Session> {
  readonly id: string;
  readonly session: Session;
  readonly revision: 3 | 4;
  readonly address: string;
  /** Socket.IO's own socket: rooms, `to()`, broadcasts. */
  readonly socket: Socket;
  emit(event: string, ...args: unknown[]): void;
  /**
   * Emits a last event if given, sends DISCONNECT, then closes: clients stay away. Events that wait for their turn are
   * forgotten, as after `drop`.
   */
  kick(event?: string, ...args: unknown[]): void;
  /** As `kick` without an event; `code` is used on a WebSocket. */
  expel(code: number): void;
  /** Closes the transport without DISCONNECT: clients come back. `code` is used on a WebSocket. */
  drop(code?: number): void;
  /** Emits a last event, then closes as `drop` does once the client has taken it. */
  dismiss(event: string, ...args: unknown[]): void;
}

/** Sends the acknowledgement a client asked for; does nothing when it asked for none, or on a second call. */
export type Acknowledge = (...args: unknown[]) => void;

/** The acknowledgement of an event whose sender asked for none. */
export const unwanted: Acknowledge = () => {};

/** A client event: its argument's schema and what to do with it. */
export interface EventHandler<Session, Schema extends GenericSchema = GenericSchema> {
  /** Checks the first argument; further arguments are dropped. */
  readonly schema: Schema;
  /** Runs alone: the next event of the same connection waits for it. A returned promise is awaited. */
  readonly run: (peer: Peer<Session>, input: InferOutput<Schema>, acknowledge: Acknowledge) => void | Promise<void>;
  /** Called instead of `run` when the argument does not fit the schema. */
  readonly invalid: (peer: Peer<Session>, acknowledge: Acknowledge) => void | Promise<void>;
}

/** Ties an event's schema to its handler so that the handler sees the parsed type. */
export function event<Session, const Schema extends GenericSchema>(
  schema: Schema,
  run: EventHandler<Session, Schema>["run"],
  invalid: EventHandler<Session, Schema>["invalid"],
): EventHandler<Session> {
  return { schema, run: run as EventHandler<Session>["run"], invalid };
}

/** One namespace of a Socket.IO endpoint. */
export interface NamespaceDeclaration<Session> {
  /** Called when the namespace is there, and again after each reload: where a domain gets its handle for broadcasts. */
  mounted?(namespace: Namespace): void;
  authenticate(handshake: Handshake): Admission<Session> | Promise<Admission<Session>>;
  /** After the accept packet, before the first event. */
  joined?(peer: Peer<Session>): void | Promise<void>;
  readonly on: Readonly<Record<string, EventHandler<Session>>>;
  /**
   * What an event gets whose name is a number, or is reserved by Socket.IO (`connect`, `disconnecting` ..): "close" ends
   * the transport, "unknown" hands the name to `unknown` as text. Defaults: numbers "close", reserved names "unknown".
   */
  readonly numericNames?: "close" | "unknown";
  readonly reservedNames?: "close" | "unknown";
  /** An event that is not declared; the default ignores it without an acknowledgement. */
  unknown?(
    peer: Peer<Session>,
    event: string,
    args: readonly unknown[],
    acknowledge: Acknowledge,
  ): void | Promise<void>;
  /**
   * Once per admitted connection. `rooms` are those it was in, its own id included. Runs after its last event. A
   * connection that was lost while `authenticate` ran also comes here, without rooms and without `joined` before.
   */
  left?(peer: Peer<Session>, reason: LeaveReason, rooms: ReadonlySet<string>): void | Promise<void>;
  /** Token bucket over all events of one connection; events beyond it are dropped. */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
  /** A dropped event. `wait` is the time in ms until one would pass. */
  limited?(peer: Peer<Session>, event: string, wait: number, acknowledge: Acknowledge, args: readonly unknown[]): void;
  /**
   * A handler threw, or its promise rejected. Without it the fault is logged and the connection stays.
   */
  failed?(peer: Peer<Session>, event: string, error: unknown, acknowledge: Acknowledge): void;
}

/** A Socket.IO endpoint of a protocol. */
export interface SocketIoEndpoint {
  readonly kind: "socketio";
  /** Without a last slash; served in both spellings. */
  readonly path: string;
  readonly revisions: readonly (3 | 4)[];
  readonly transports: readonly ("polling" | "websocket")[];
  readonly cors?: CorsPolicy;
  /** Milliseconds. */
  readonly pingInterval: number;
  readonly pingTimeout: number;
  /** Milliseconds a session may stay without joining a namespace. */
  readonly connectTimeout: number;
  readonly maxMessageBytes: number;
  readonly maxOutboxBytes: number;
  /** Events that may wait for their turn in one connection before it is dropped as abuse. */
  readonly maxInbox: number;
  /** Beyond `maxInbox`: "drop" closes the transport, "kick" sends DISCONNECT first. Default "drop". */
  readonly inboxOverflow?: "drop" | "kick";
  /** Takes requests of a session from the address that opened it alone. Default false. */
  readonly bindAddress?: boolean;
  /** Host values it is served under; for others the path is free. Empty or absent: all. */
  readonly hosts?: readonly string[];
  /** What a packet with attachments gets: its event is handled, or the transport is closed. Default "accept". */
  readonly binary?: "accept" | "close";
  /** Answers an origin that `cors` does not allow with HTTP 403. By default it passes and `authenticate` decides. */
  readonly forbidOrigins?: boolean;
  readonly namespaces: Readonly<Record<string, NamespaceDeclaration<never>>>;
}

/** Declares a Socket.IO endpoint. Each namespace may have a session type of its own. */
export function socketio(declaration: Omit<SocketIoEndpoint, "kind">): SocketIoEndpoint {
  return { kind: "socketio", ...declaration };
}

/** Declares a namespace; erases its session type for the endpoint's list. */
export function namespace<Session>(declaration: NamespaceDeclaration<Session>): NamespaceDeclaration<never> {
  return declaration as unknown as NamespaceDeclaration<never>;
}
