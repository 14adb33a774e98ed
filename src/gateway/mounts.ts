import type { Server } from "bun";
import type { ClientInfo } from "../http/routes.ts";
import type { SocketOwner } from "../websocket.ts";
import type { Refusal } from "./limits.ts";

/** A socket endpoint of a protocol, mounted on the listener. */
export interface SocketMount {
  /** Exact paths, in both spellings. */
  readonly paths: readonly string[];
  /** Host values it is served under; empty or absent: all. */
  readonly hosts?: readonly string[];
  /** True when this request would open a new socket, so that the limits apply. */
  opensSocket(request: Request, url: URL): boolean;
  /**
   * Serves a request; undefined after an upgrade, null when it is not for this endpoint. A `refusal` is told to the
   * client the way its protocol does that.
   */
  handle(
    request: Request,
    server: Server<SocketOwner>,
    client: ClientInfo,
    refusal: Refusal | "draining" | null,
  ): Response | undefined | null | Promise<Response | undefined | null>;
  /** Open sockets. */
  readonly size: number;
  /** Ends up to `count` sockets with the protocol's come-back signal; returns how many are left. */
  drain(count: number): number;
  close(): void | Promise<void>;
}
