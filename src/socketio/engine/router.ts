import { corsHeaders, preflight } from "../../http/cors.ts";
import type { SocketOwner } from "../../websocket.ts";
import { sameAddress } from "./address.ts";
import { Arrival } from "./arrival.ts";
import { ENDINGS } from "./ending.ts";
import type { Opening } from "./host.ts";
import type { BunServer, Settings } from "./options.ts";
import { CLOSE, OPEN, type Revision } from "./packet.ts";
import { PollingTransport, payloadResponse } from "./polling.ts";
import { Probe } from "./probe.ts";
import { REFUSALS, type Refusal, refuse } from "./refusal.ts";
import { asksForWebSocket, asksToClose, keepRequest } from "./request.ts";
import type { EngineSocket } from "./socket.ts";
import type { TransportName } from "./transport.ts";

/** A request that was turned away. */
export interface ConnectionError extends Refusal {
  readonly req: Request;
  readonly context: Readonly<Record<string, unknown>>;
}

/** What the router needs of its engine. */
export interface Sessions {
  find(sid: string): EngineSocket | undefined;
  /** A session that is over while its polling client has not been told. */
  findUntold(sid: string): EngineSocket | undefined;
  /** It was told. */
  told(socket: EngineSocket): void;
  open(opening: Omit<Opening, "id">): EngineSocket;
  /** The session has sent its open packet. */
  opened(socket: EngineSocket, request: Request, server: BunServer): void;
  refused(error: ConnectionError): void;
}

/** What a proxy in front knows better than the connection itself. */
export interface ClientAddress {
  readonly address: string;
  readonly secure?: boolean;
  readonly proxy?: string;
}

/** One request on its way. */
interface Visit {
  readonly request: Request;
  readonly server: BunServer;
  readonly client: ClientAddress;
  readonly query: URLSearchParams;
  readonly transport: TransportName;
  /** Asks to become a WebSocket. */
  readonly upgrade: boolean;
  /** Headers of the answer. */
  readonly headers: Headers;
}

/** Sends each request to a new session, to the one it names, or away. Checks come in the order of engine.io. */
export class Router {
  readonly #settings: Settings;
  readonly #sessions: Sessions;

  constructor(settings: Settings, sessions: Sessions) {
    this.#settings = settings;
    this.#sessions = sessions;
  }

  async handle(request: Request, server: BunServer, client?: ClientAddress): Promise<Response> {
    const { cors, editResponseHeaders, transports } = this.#settings;
    const closing = asksToClose(request);
    if (cors && request.method === "OPTIONS") {
      const response = preflight(cors, request);
      if (closing) response.headers.set("connection", "close");
      return response;
    }
    const headers = new Headers(cors && corsHeaders(cors, request.headers.get("origin")));
    // Bun closes such a connection without saying so, which a client that keeps connections takes for a fault.
    if (closing) headers.set("connection", "close");
    await editResponseHeaders?.(headers, request, server);

    const mark = request.url.indexOf("?");
    const query = new URLSearchParams(mark < 0 ? "" : request.url.slice(mark));
    const transport = transports.find((name) => name === query.get("transport"));
    const visit = {
      request,
      server,
      client: client ?? { address: server.requestIP(request)?.address ?? "" },
      query,
      upgrade: asksForWebSocket(request),
      headers,
    };
    const unknownTransport = () =>
      this.#refuse(visit, REFUSALS.unknownTransport, { transport: query.get("transport") });
    const sid = query.get("sid");
    if (sid !== null) return transport ? this.#resume({ ...visit, transport }, sid) : unknownTransport();
    // Who speaks another protocol is told so, whatever transport he asks for (T-1.4, V-1.3, W-1.7).
    const protocol = this.#settings.revisions.find((revision) => String(revision) === query.get("EIO"));
    if (protocol === undefined) {
      return this.#refuse(visit, REFUSALS.unsupportedRevision, { protocol: query.get("EIO") });
    }
    return transport ? this.#begin({ ...visit, transport }, protocol) : unknownTransport();
  }

  /** A handshake. */
  async #begin(visit: Visit, protocol: Revision): Promise<Response> {
    const { request, server, client, query, headers, transport, upgrade } = visit;
    if (request.method !== "GET") return this.#refuse(visit, REFUSALS.badMethod, { method: request.method });
    if ((transport === "websocket") !== upgrade) return this.#mismatch(visit);
    const refusal = await this.#forbidden(visit);
    if (refusal) return refusal;
    await this.#settings.editHandshakeHeaders?.(headers, request, server);

    const opening = { protocol, request: keepRequest(request, query, client), address: client.address };
    if (transport === "polling") {
      const socket = this.#sessions.open(opening);
      // Alone in its answer: that is how engine.io does it, and some clients know no other way.
      const response = payloadResponse(socket, [this.#openPacket(socket, ["websocket"])], headers);
      this.#sessions.opened(socket, request, server);
      return response;
    }
    return this.#upgrade(
      visit,
      new Arrival((ws) => {
        const socket = this.#sessions.open({ ...opening, ws });
        socket.transport.send(this.#openPacket(socket, []));
        this.#sessions.opened(socket, request, server);
      }),
    );
  }

  /** A request of a session. */
  async #resume(visit: Visit, sid: string): Promise<Response> {
    const { request, server, headers, transport, upgrade } = visit;
    const refusal = upgrade && (await this.#forbidden(visit));
    if (refusal) return refusal;
    const socket = this.#sessions.find(sid) ?? this.#sessions.findUntold(sid);
    if (socket === undefined || !this.#mayTouch(socket, visit)) {
      return this.#refuse(visit, REFUSALS.unknownSession, { sid });
    }
    if (socket.readyState === "closed") {
      if (upgrade || request.method !== "GET") return this.#refuse(visit, REFUSALS.unknownSession, { sid });
      this.#sessions.told(socket);
      return payloadResponse(socket, [CLOSE], headers);
    }
    if ((transport === "websocket") !== upgrade) return this.#mismatch(visit);
    if (upgrade) {
      const probe = new Probe(socket);
      // A second WebSocket is let in and closed; an HTTP error would tell a browser nothing.
      const first = socket.tryUpgrade(probe);
      const response = this.#upgrade(visit, first ? probe : new Arrival((ws) => ws.close(ENDINGS.overlap.code)));
      if (first && !probe.opened) socket.probeFailed(probe);
      return response;
    }
    if (!(socket.transport instanceof PollingTransport)) return this.#mismatch(visit);
    // A poll waits longer than the idle timeout of a server should be.
    if (request.method === "GET") server.timeout(request, 0);
    return socket.transport.request(request, headers);
  }

  /** Turns the request into a WebSocket. Bun calls `owner.open` before this returns, and ignores the empty response. */
  #upgrade(visit: Visit, owner: SocketOwner): Response {
    const { request, server, headers } = visit;
    return server.upgrade(request, { headers, data: owner })
      ? new Response(null)
      : this.#refuse(visit, REFUSALS.badRequest, { name: "BAD_WEBSOCKET_HANDSHAKE" });
  }

  #openPacket({ id }: EngineSocket, upgrades: readonly TransportName[]): string {
    const { pingInterval, pingTimeout, maxHttpBufferSize, transports } = this.#settings;
    return (
      OPEN +
      JSON.stringify({
        sid: id,
        upgrades: upgrades.filter((name) => transports.includes(name)),
        pingInterval,
        pingTimeout,
        maxPayload: maxHttpBufferSize,
      })
    );
  }

  #mayTouch(socket: EngineSocket, { client }: Visit): boolean {
    return !this.#settings.bindAddress || sameAddress(socket.remoteAddress, client.address);
  }

  /** Asks the application; null when it has nothing against the request. */
  async #forbidden(visit: Visit): Promise<Response | null> {
    try {
      await this.#settings.allowRequest?.(visit.request, visit.server);
      return null;
    } catch (reason) {
      const message = typeof reason === "string" ? reason : REFUSALS.forbidden.message;
      return this.#refuse(visit, { ...REFUSALS.forbidden, message }, { message: reason });
    }
  }

  #mismatch(visit: Visit): Response {
    return this.#refuse(visit, REFUSALS.badRequest, { name: "TRANSPORT_MISMATCH", transport: visit.transport });
  }

  #refuse(
    { request, headers }: Pick<Visit, "request" | "headers">,
    refusal: Refusal,
    context: ConnectionError["context"],
  ): Response {
    this.#sessions.refused({ req: request, ...refusal, context });
    return refuse(refusal, headers);
  }
}
