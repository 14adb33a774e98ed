import type { Server } from "bun";
import { type Clock, systemClock } from "../../clock.ts";
import type { CorsPolicy } from "../../http/cors.ts";
import type { SocketOwner } from "../../websocket.ts";
import { type CorsOptions, corsPolicy } from "./cors.ts";
import type { Revision } from "./packet.ts";
import type { TransportName } from "./transport.ts";

export type BunServer = Server<SocketOwner>;

/** Changes response headers before they are sent. */
export type HeaderEditor = (headers: Headers, request: Request, server: BunServer) => void | Promise<void>;

/** Options of an engine. Names and defaults of the first group are those of `@socket.io/bun-engine`; times in ms. */
export interface EngineOptions {
  /** Served with and without its last slash. Default `/engine.io/`. */
  readonly path?: string;
  /** Time to wait for a pong. Default 20 000. */
  readonly pingTimeout?: number;
  /** Time from a pong to the next ping. Default 25 000. */
  readonly pingInterval?: number;
  /** Time a WebSocket has to complete an upgrade. Default 10 000. */
  readonly upgradeTimeout?: number;
  /** Largest packet or polling body in bytes; a larger one ends its session. Default 1 000 000. */
  readonly maxHttpBufferSize?: number;
  /** Refuses a handshake or an upgrade with HTTP 403 by throwing or rejecting. Default: all may pass. */
  readonly allowRequest?: (request: Request, server: BunServer) => void | Promise<void>;
  /** Default: no CORS headers, and no answer to a preflight. */
  readonly cors?: CorsPolicy | CorsOptions;
  readonly editHandshakeHeaders?: HeaderEditor;
  readonly editResponseHeaders?: HeaderEditor;

  /** Engine.IO revisions that are served. Default both. */
  readonly revisions?: readonly Revision[];
  /** Default both. */
  readonly transports?: readonly TransportName[];
  /** Bytes that may wait for a client before its session is ended as a slow reader. Default 1 MiB. */
  readonly maxOutboxBytes?: number;
  /**
   * Takes requests of a session only from the address that opened it; loopback addresses count as one. Others get
   * `Session ID unknown`. Default false.
   */
  readonly bindAddress?: boolean;
  readonly clock?: Clock;
}

export interface Settings extends Required<Omit<EngineOptions, "allowRequest" | "cors" | `edit${string}`>> {
  readonly allowRequest: EngineOptions["allowRequest"];
  readonly cors: CorsPolicy | undefined;
  readonly editHandshakeHeaders: HeaderEditor | undefined;
  readonly editResponseHeaders: HeaderEditor | undefined;
}

/** Fills in the defaults. */
export function settle(options: EngineOptions): Settings {
  return {
    path: options.path ?? "/engine.io/",
    pingTimeout: options.pingTimeout ?? 20_000,
    pingInterval: options.pingInterval ?? 25_000,
    upgradeTimeout: options.upgradeTimeout ?? 10_000,
    maxHttpBufferSize: options.maxHttpBufferSize ?? 1e6,
    revisions: options.revisions ?? [3, 4],
    transports: options.transports ?? ["polling", "websocket"],
    maxOutboxBytes: options.maxOutboxBytes ?? 1024 * 1024,
    bindAddress: options.bindAddress ?? false,
    clock: options.clock ?? systemClock,
    allowRequest: options.allowRequest,
    cors: options.cors && corsPolicy(options.cors),
    editHandshakeHeaders: options.editHandshakeHeaders,
    editResponseHeaders: options.editResponseHeaders,
  };
}
