import type { Server } from "bun";
import { clientInfo, type TrustedProxies } from "../http/address.ts";
import { servesHost } from "../http/hosts.ts";
import type { ClientInfo, RestSurface } from "../http/routes.ts";
import type { Log } from "../observe/log.ts";
import { WEBSOCKET_LIMITS } from "../socketio/engine/index.ts";
import { type SocketOwner, socketHandlers } from "../websocket.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { SocketMount } from "./mounts.ts";
import { notFound, notTaken, type RestMount, restApp } from "./rest.ts";

/**
 * Bun's own limit on bodies is out of the way: it would answer in its own words, and leave the session of a poll alive.
 * Each route has a limit, enforced while reading; of a body that nobody reads Bun keeps next to nothing.
 */
const MAX_BODY_BYTES = Number.MAX_SAFE_INTEGER;
/** Largest frame of any protocol; each enforces its own smaller limit. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** Seconds an HTTP request may be silent. A long poll waits for one ping interval, the default of 10 s would cut it. */
const IDLE_TIMEOUT = 120;

/** What the listener serves; replaced as a whole on a reload. */
export interface Served {
  readonly sockets: readonly SocketMount[];
  readonly rest: readonly RestMount[];
}

/** The public port: finds the owner of each request and keeps the limits in front of new sockets. */
export class Listener {
  readonly #limits: ConnectionLimits;
  readonly #proxies: TrustedProxies;
  readonly #log: Log;
  readonly #refused: (reason: string) => void;
  #server: Server<SocketOwner> | null = null;
  #sockets = new Map<string, SocketMount[]>();
  #rest = restApp([], routesOf);
  /** While set, new Socket.IO handshakes are turned away; raw sockets are accepted and told by their protocol. */
  draining = false;

  constructor(options: {
    limits: ConnectionLimits;
    proxies: TrustedProxies;
    log: Log;
    refused: (reason: string) => void;
  }) {
    this.#limits = options.limits;
    this.#proxies = options.proxies;
    this.#log = options.log;
    this.#refused = options.refused;
  }

  /** Takes effect from the next request on; requests under way finish on what they began with. */
  serve(served: Served): void {
    const sockets = new Map<string, SocketMount[]>();
    for (const mount of served.sockets) {
      for (const path of mount.paths) sockets.set(path, [...(sockets.get(path) ?? []), mount]);
    }
    this.#sockets = sockets;
    this.#rest = restApp(served.rest, routesOf);
  }

  /** Opens the port. Throws when it is taken. */
  listen(hostname: string, port: number): void {
    this.#server = Bun.serve<SocketOwner>({
      hostname,
      port,
      idleTimeout: IDLE_TIMEOUT,
      maxRequestBodySize: MAX_BODY_BYTES,
      fetch: (request, server) => this.#fetch(request, server),
      error: (error) => {
        this.#log.error({ error }, "request failed outside a protocol");
        return Response.json({ error: "Internal error" }, { status: 500 });
      },
      websocket: {
        ...socketHandlers,
        maxPayloadLength: MAX_FRAME_BYTES,
        ...WEBSOCKET_LIMITS,
        // Heartbeats are the protocols' own: their intervals and close codes differ.
        idleTimeout: 0,
        sendPings: false,
      },
    });
  }

  /** The URL under which this process reaches its own public port. */
  get url(): URL {
    if (!this.#server) throw new Error("not listening");
    return this.#server.url;
  }

  /** Takes no new connection; with `force` cuts those that are left. */
  async stop(force: boolean): Promise<void> {
    await this.#server?.stop(force);
  }

  async #fetch(request: Request, server: Server<SocketOwner>): Promise<Response | undefined> {
    // `OPTIONS *` and the like name no resource of ours.
    const url = URL.parse(request.url);
    if (url === null) return Response.json({ error: "Bad request" }, { status: 400 });
    const peer = server.requestIP(request)?.address ?? "";
    const client = clientInfo(peer, request.headers, this.#proxies, url.protocol === "https:");
    const response = await this.#route(request, url, server, client);
    // Bun closes the connection when asked to but does not say so; keep-alive clients would see a hang-up.
    if (response && request.headers.get("connection")?.toLowerCase() === "close") {
      response.headers.set("connection", "close");
    }
    return response;
  }

  async #route(
    request: Request,
    url: URL,
    server: Server<SocketOwner>,
    client: ClientInfo,
  ): Promise<Response | undefined> {
    for (const mount of this.#sockets.get(url.pathname) ?? []) {
      if (!servesHost(mount.hosts, request)) continue;
      const response = await this.#socket(mount, request, url, server, client);
      if (response !== null) return response;
    }
    const response = await this.#rest.fetch(request, client);
    return notTaken(response) ? notFound() : response;
  }

  /** Null when the mount does not take the request. */
  #socket(
    mount: SocketMount,
    request: Request,
    url: URL,
    server: Server<SocketOwner>,
    client: ClientInfo,
  ): Response | undefined | null | Promise<Response | undefined | null> {
    if (!mount.opensSocket(request, url)) return mount.handle(request, server, client, null);
    const refusal = this.draining ? "draining" : this.#limits.refuse(client.address);
    if (refusal) this.#refused(refusal);
    return mount.handle(request, server, client, refusal);
  }
}

const routesOf = (surface: RestSurface) => surface.routes;
