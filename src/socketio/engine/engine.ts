import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { type Socket, socketHandlers } from "../../websocket.ts";
import { Deadlines } from "./deadlines.ts";
import { type CloseReason, ENDINGS, type Ending } from "./ending.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { Host, Opening } from "./host.ts";
import { type BunServer, type EngineOptions, type Settings, settle } from "./options.ts";
import { MESSAGE } from "./packet.ts";
import type { Probe } from "./probe.ts";
import { pathOf } from "./request.ts";
import { type ClientAddress, type ConnectionError, Router } from "./router.ts";
import { EngineSocket } from "./socket.ts";
import { WEBSOCKET_LIMITS, WebSocketTransport } from "./websocket.ts";

/** What Bun takes by default. */
const BUN_MAX_BODY = 128 * 1024 * 1024;

/** Milliseconds between looks at the backlog of sockets while something is published. */
const BACKLOG_CHECK = 1000;

/** Endings a polling client without a pending poll learns of at its next one; after others it finds its sid unknown. */
const TOLD_LATER: ReadonlySet<CloseReason> = new Set<CloseReason>(["forced close", "slow reader"]);

type EngineEvents = {
  connection: [socket: EngineSocket, request: Request, server: BunServer];
  connection_error: [error: ConnectionError];
  /** A session is ended because its client does not read. */
  slow: [socket: EngineSocket];
  /** A listener of the application threw; its session, if it was one of a session, is ended. */
  fault: [error: unknown, socket: EngineSocket | null];
};

let engines = 0;

/** An Engine.IO server for revisions 3 and 4 on Bun. Any number of them can share one `Bun.serve`. */
export class Engine extends EventEmitter<EngineEvents> {
  opts: Settings;
  readonly #sessions = new Map<string, EngineSocket>();
  /** Sessions that are over while their polling clients have not heard of it. */
  readonly #untold = new Map<string, EngineSocket>();
  readonly #forgetUntold: Deadlines<EngineSocket>;
  #host: Host;
  #router: Router;
  readonly #prefix = `e${(engines++).toString(36)}:`;
  #server: BunServer | null = null;
  #checking = false;

  constructor(options: EngineOptions = {}) {
    super();
    this.opts = settle(options);
    this.#forgetUntold = new Deadlines(this.opts.clock, this.opts.pingTimeout, (socket) =>
      this.#untold.delete(socket.id),
    );
    this.#host = this.#hostOf(this.opts);
    this.#router = this.#routerOf(this.opts);
  }

  /** Puts other options in force for sessions to come. Those that live keep the ones they began with. */
  configure(options: EngineOptions): void {
    this.opts = settle(options);
    this.#host = this.#hostOf(this.opts);
    this.#router = this.#routerOf(this.opts);
  }

  /** The living sessions by sid. */
  get sessions(): ReadonlyMap<string, EngineSocket> {
    return this.#sessions;
  }

  /** Number of living sessions, under the name engine.io for Node has for it. */
  get clientsCount(): number {
    return this.#sessions.size;
  }

  /**
   * Serves a request to the engine's path. Never rejects. `client.address` and `client.secure` stand in for what the
   * connection itself says of the client, for servers behind a proxy. After an upgrade the response is empty and Bun
   * ignores it.
   */
  async handleRequest(request: Request, server: BunServer, client?: ClientAddress): Promise<Response> {
    this.#server = server;
    try {
      return await this.#router.handle(request, server, client);
    } catch (error) {
      this.#fault(error, null);
      return new Response(null, { status: 500 });
    }
  }

  /** Sends a message to all live sessions subscribed to a topic, encoded once. */
  publish(topic: string, data: string): void {
    this.#publish(topic, data, null);
  }

  /** Number of live sessions subscribed to a topic. */
  subscriberCount(topic: string): number {
    return this.#server?.subscriberCount(this.#prefix + topic) ?? 0;
  }

  /** Closes every session as `EngineSocket.close` does. */
  close(): void {
    for (const socket of [...this.#sessions.values()]) socket.close();
  }

  /** What a `Bun.serve` for this engine alone takes: `Bun.serve({ port, ...engine.handler() })`. */
  handler() {
    const { path, maxHttpBufferSize, pingInterval } = this.opts;
    const bare = path.replace(/\/$/, "");
    return {
      fetch: (request: Request, server: BunServer): Response | Promise<Response> => {
        const [pathname] = pathOf(request.url).split("?", 1);
        if (pathname === bare || pathname === `${bare}/`) return this.handleRequest(request, server);
        return new Response(null, { status: 404 });
      },
      websocket: { ...socketHandlers, ...WEBSOCKET_LIMITS, maxPayloadLength: maxHttpBufferSize },
      idleTimeout: Math.min(255, Math.ceil((2 * pingInterval) / 1000)),
      // The engine limits bodies itself, ending the session as well; Bun would only answer.
      maxRequestBodySize: Math.max(BUN_MAX_BODY, maxHttpBufferSize),
    };
  }

  #hostOf(settings: Settings): Host {
    const { clock, pingInterval, pingTimeout, upgradeTimeout } = settings;
    return {
      settings,
      heartbeat: new Heartbeat(clock, pingInterval, pingTimeout),
      probes: new Deadlines<Probe>(clock, upgradeTimeout, (probe) => probe.cancel(ENDINGS.closed.code)),
      topic: (name) => this.#prefix + name,
      publish: (topic, data, except) => this.#publish(topic, data, except),
      ended: (socket, ending, told) => this.#ended(socket, ending, told),
      fault: (error, socket) => this.#fault(error, socket),
    };
  }

  #routerOf(settings: Settings): Router {
    return new Router(settings, {
      find: (sid) => this.#sessions.get(sid),
      findUntold: (sid) => this.#untold.get(sid),
      told: (socket) => this.#forget(socket),
      open: (opening) => this.#open(opening),
      opened: (socket, request, server) => this.#opened(socket, request, server),
      refused: (error) => this.#tell(() => this.emit("connection_error", error)),
    });
  }

  #open(opening: Omit<Opening, "id">): EngineSocket {
    // 15 bytes make 20 characters without padding.
    const socket = new EngineSocket(this.#host, { ...opening, id: randomBytes(15).toString("base64url") });
    this.#sessions.set(socket.id, socket);
    return socket;
  }

  #opened(socket: EngineSocket, request: Request, server: BunServer): void {
    try {
      this.emit("connection", socket, request, server);
    } catch (error) {
      this.#fault(error, socket);
      socket.end(ENDINGS.fault);
    }
    socket.announceLive();
  }

  #ended(socket: EngineSocket, ending: Ending, told: boolean): void {
    this.#sessions.delete(socket.id);
    if (!told && TOLD_LATER.has(ending.reason)) {
      this.#untold.set(socket.id, socket);
      this.#forgetUntold.set(socket);
    }
    if (ending === ENDINGS.slow) this.#tell(() => this.emit("slow", socket));
  }

  #forget(socket: EngineSocket): void {
    this.#untold.delete(socket.id);
    this.#forgetUntold.delete(socket);
  }

  #publish(topic: string, data: string, except: Socket | null): void {
    if (except) except.publish(this.#prefix + topic, MESSAGE + data);
    else this.#server?.publish(this.#prefix + topic, MESSAGE + data);
    this.#checkBacklogs();
  }

  /** Looks, some time after a publish, for sockets whose backlog it made too long. */
  #checkBacklogs(): void {
    if (this.#checking) return;
    this.#checking = true;
    this.opts.clock.after(BACKLOG_CHECK, () => {
      this.#checking = false;
      for (const { transport } of this.#sessions.values()) {
        if (transport instanceof WebSocketTransport) transport.checkBacklog();
      }
    });
  }

  #fault(error: unknown, socket: EngineSocket | null): void {
    try {
      this.emit("fault", error, socket);
    } catch {
      // A fault listener that throws has nobody left to be told.
    }
  }

  #tell(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#fault(error, null);
    }
  }
}
