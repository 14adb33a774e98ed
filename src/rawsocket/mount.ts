import type { Server } from "bun";
import type { SocketOwner } from "../websocket.ts";
import { Connection } from "./connection.ts";
import type { RawEndpoint } from "./endpoint.ts";
import { isComplete, isUpgrade, subprotocolHeader } from "./handshake.ts";
import { Hub, type RawSocketDeps } from "./hub.ts";

/** Milliseconds a channel may work on what it has received when the node drains. */
const DRAIN_WORK = 2_000;

/**
 * Mounts a raw WebSocket endpoint. The `Bun.serve` it lives in must use `socketHandlers`, switch Bun's own `idleTimeout`
 * (0) and `sendPings` off, set `maxPayloadLength` above every `maxFrameBytes`, and `backpressureLimit` well above every
 * `maxOutboxBytes` with `closeOnBackpressureLimit`: that bounds what a burst of published frames can pile up before the
 * next look at the outboxes.
 *
 * Throws what the endpoint's `mounted` throws.
 */
export function mountRawSocket(endpoint: RawEndpoint<unknown>, deps: RawSocketDeps): RawSocketMount {
  return new RawSocketMount(endpoint, deps);
}

/** A raw WebSocket endpoint in service. */
export class RawSocketMount {
  readonly #hub: Hub;

  constructor(endpoint: RawEndpoint<unknown>, deps: RawSocketDeps) {
    this.#hub = new Hub(endpoint, deps);
  }

  /** Exact paths, in both spellings. */
  get paths(): readonly string[] {
    return this.#hub.endpoint.paths.flatMap((path) => (path === "/" || path === "" ? ["/"] : [path, `${path}/`]));
  }

  /** Sockets that are open, or whose last frames have not been read yet. */
  get size(): number {
    return this.#hub.heartbeat.size;
  }

  /** Whether a request to one of the paths is for this endpoint. */
  claims(url: URL): boolean {
    try {
      return this.#hub.endpoint.claims?.(url) ?? true;
    } catch (error) {
      this.#hub.log.error({ error }, "claims failed");
      return false;
    }
  }

  /** True when this request would open a socket. */
  opensSocket(request: Request, url: URL): boolean {
    return isUpgrade(request) && this.claims(url);
  }

  /**
   * Serves a request to one of the paths: undefined after an upgrade, null when it is not for this endpoint. A socket
   * that comes with a `refusal` is accepted and told: by `closes.drain` for "draining", else by `closes.full`.
   */
  handle(
    request: Request,
    server: Server<SocketOwner>,
    client: { readonly address: string },
    refusal: string | null = null,
  ): Response | undefined | null | Promise<Response | undefined | null> {
    this.#hub.server = server;
    if (this.#hub.endpoint.claims && !this.claims(new URL(request.url))) return null;
    if (!isUpgrade(request)) return this.#plainHttp(request);
    const refused = refusal === null ? undefined : refusal === "draining" ? "drain" : "full";
    const connection = new Connection(this.#hub, request, client.address, refused);
    const arriving = isComplete(request) ? connection.arrive(request) : undefined;
    if (!arriving) return this.#upgrade(request, server, connection);
    return arriving.then(() => this.#upgrade(request, server, connection));
  }

  /**
   * Ends up to `count` channels with `closes.drain`; one with frames in work gets 2 s for them. From the first call on,
   * sockets that come are accepted and sent away. Returns how many sockets are left.
   */
  drain(count: number): number {
    this.#hub.draining = true;
    const { code, reason } = this.#hub.endpoint.closes.drain;
    let room = count;
    for (const { channel } of this.#hub.heartbeat.members()) {
      if (room === 0) break;
      if (channel.leaving) continue;
      room--;
      void channel.finish(DRAIN_WORK, code, reason, this.#hub.lastFrame(channel, code, reason));
    }
    return this.size;
  }

  /**
   * Puts another declaration in force: open channels meet it at their next event. When its `mounted` throws, so does
   * this, and the old one stays.
   */
  swap(endpoint: RawEndpoint<unknown>): void {
    this.#hub.swap(endpoint);
  }

  /** Ends every channel at once with `closes.drain`, and the heartbeat. */
  close(): void {
    this.#hub.draining = true;
    this.#hub.stop();
    const { code, reason } = this.#hub.endpoint.closes.drain;
    for (const { channel } of this.#hub.heartbeat.members()) {
      channel.close(code, reason, this.#hub.lastFrame(channel, code, reason));
    }
  }

  #plainHttp(request: Request): Response | null {
    try {
      return this.#hub.endpoint.plainHttp?.(request) ?? null;
    } catch (error) {
      this.#hub.log.error({ error }, "plain HTTP answer failed");
      return new Response("Internal error", { status: 500 });
    }
  }

  #upgrade(request: Request, server: Server<SocketOwner>, connection: Connection): Response | undefined {
    const headers = subprotocolHeader(request, this.#hub.endpoint.subprotocols);
    if (server.upgrade(request, headers ? { data: connection, headers } : { data: connection })) return undefined;
    connection.abandoned();
    // Read by a client whose handshake lacks something. A version other than 13 was answered by Bun, with 426.
    return new Response("Not a WebSocket handshake", { status: 400 });
  }
}
