import type { Server } from "bun";
import { corsHeaders } from "../http/cors.ts";
import type { SocketOwner } from "../websocket.ts";
import type { SocketIoEndpoint } from "./endpoint.ts";
import { Hub, type SocketIoDeps } from "./hub.ts";

/** Milliseconds that peers have, when the mount closes, to finish what they do and to leave. */
const LAST_WORK = 2_000;
/** Seconds after which a client that was turned away may try again. */
const RETRY_AFTER = 5;

/**
 * Mounts a Socket.IO endpoint. The `Bun.serve` it lives in must use `socketHandlers`, have Bun's own `idleTimeout` for
 * WebSockets off, and the limits named at the engine's `WEBSOCKET_LIMITS`.
 *
 * Throws what a `mounted` of the endpoint throws.
 */
export function mountSocketIo(endpoint: SocketIoEndpoint, deps: SocketIoDeps): SocketIoMount {
  return new SocketIoMount(endpoint, deps);
}

/** A Socket.IO endpoint in service. */
export class SocketIoMount {
  readonly #hub: Hub;

  constructor(endpoint: SocketIoEndpoint, deps: SocketIoDeps) {
    this.#hub = new Hub(endpoint, deps);
    this.#hub.declare(endpoint);
  }

  /** Exact paths, in both spellings. */
  get paths(): readonly string[] {
    const { path } = this.#hub.endpoint;
    return [path, `${path}/`];
  }

  /** Host values it is served under. */
  get hosts(): readonly string[] {
    return this.#hub.endpoint.hosts ?? [];
  }

  /** Open Engine.IO sessions. */
  get size(): number {
    return this.#hub.connections.size;
  }

  /** True when this request would open a session. */
  opensSocket(request: Request, url: URL): boolean {
    return request.method === "GET" && !url.searchParams.has("sid");
  }

  /** Serves a request to one of the paths. With a `refusal` the answer is 503, after which clients come back. */
  async handle(
    request: Request,
    server: Server<SocketOwner>,
    client: { readonly address: string; readonly secure?: boolean; readonly proxy?: string },
    refusal: string | null = null,
  ): Promise<Response> {
    return refusal === null
      ? this.#hub.engine.handleRequest(request, server, client)
      : this.#turnAway(request, refusal);
  }

  /** Ends up to `count` sessions so that their clients come back to another node; returns how many are left. */
  drain(count: number): number {
    let room = count;
    for (const connection of this.#hub.connections) {
      if (room-- <= 0) break;
      connection.drain();
    }
    return this.size;
  }

  /**
   * Puts another declaration in force: sessions stay and meet it at their next event. When its `mounted` throws, so does
   * this, and the old one is back in force.
   */
  swap(endpoint: SocketIoEndpoint): void {
    const previous = this.#hub.endpoint;
    try {
      this.#hub.declare(endpoint);
    } catch (error) {
      this.#hub.declare(previous);
      throw error;
    }
  }

  /** Sends everybody away and waits, a short time, until they have left. */
  async close(): Promise<void> {
    this.drain(this.size);
    await this.#hub.settled(LAST_WORK);
    for (const { adapter } of this.#hub.io._nsps.values()) await adapter.close();
  }

  #turnAway(request: Request, message: string): Response {
    const { cors } = this.#hub.endpoint;
    const headers = new Headers(cors && corsHeaders(cors, request.headers.get("origin")));
    headers.set("retry-after", String(RETRY_AFTER));
    return Response.json({ message }, { status: 503, headers });
  }
}
