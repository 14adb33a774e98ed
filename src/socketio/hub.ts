import { type Namespace, Server } from "socket.io";
import type { Backplane } from "../backplane/backplane.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import type { ProtocolMetrics } from "../observe/metrics.ts";
import { TopicAdapter } from "./adapter/topic-adapter.ts";
import { Connection } from "./connection.ts";
import { DeclaredNamespace } from "./declared-namespace.ts";
import type { SocketIoEndpoint } from "./endpoint.ts";
import { Deadlines } from "./engine/deadlines.ts";
import { Engine } from "./engine/index.ts";
import { engineOptions } from "./engine-options.ts";
import { Meters } from "./meters.ts";

/** What an endpoint stands on. */
export interface SocketIoDeps {
  /** Name of the protocol. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProtocolMetrics;
  readonly backplane: Backplane;
  /** Hears of every session that opens and closes. */
  readonly observer?: { opened(address: string): void; closed(address: string): void };
}

/** What all connections of one endpoint share. */
export class Hub {
  readonly io: Server;
  readonly engine: Engine;
  readonly meters: Meters;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespaces = new Map<string, DeclaredNamespace>();
  readonly connections = new Set<Connection>();
  /** Connections that have joined no namespace yet. */
  unjoined: Deadlines<Connection>;
  readonly #observer: SocketIoDeps["observer"];
  #endpoint: SocketIoEndpoint;
  /** Peers whose `left` has not been told. */
  #unfinished = 0;
  #settled: (() => void) | null = null;

  constructor(endpoint: SocketIoEndpoint, deps: SocketIoDeps) {
    this.#endpoint = endpoint;
    this.clock = deps.clock;
    this.log = deps.log;
    this.#observer = deps.observer;
    this.meters = new Meters(deps.metrics, endpoint.path, () => this.connections.size);
    this.engine = new Engine(engineOptions(endpoint, deps.clock));
    this.unjoined = this.#deadlines(endpoint);
    const parts = {
      scope: `${deps.name}:${endpoint.path}`,
      engine: this.engine,
      backplane: deps.backplane,
      clock: deps.clock,
      log: deps.log,
      delivered: (text: string, sockets: number, milliseconds: number) =>
        this.meters.delivered(text, sockets, milliseconds),
    };
    this.io = new Server({
      serveClient: false,
      adapter: class extends TopicAdapter {
        constructor(namespace: Namespace) {
          super(namespace, parts);
        }
      },
    });
    this.engine.on("connection", (conn) => new Connection(this, conn));
    this.engine.on("connection_error", ({ code }) => this.meters.turnedAway(code));
    this.engine.on("slow", () => this.meters.slowReaders.value++);
    this.engine.on("fault", (error) => this.log.error({ error }, "session failed"));
  }

  get endpoint(): SocketIoEndpoint {
    return this.#endpoint;
  }

  /** Puts a declaration in force. Throws what one of its `mounted` throws. */
  declare(endpoint: SocketIoEndpoint): void {
    if (endpoint !== this.#endpoint) {
      this.engine.configure(engineOptions(endpoint, this.clock));
      this.unjoined = this.#deadlines(endpoint);
      this.#endpoint = endpoint;
    }
    for (const [name, namespace] of this.namespaces) {
      if (Object.hasOwn(endpoint.namespaces, name)) continue;
      this.namespaces.delete(name);
      for (const connection of this.connections) connection.undeclared(namespace);
    }
    for (const [name, declaration] of Object.entries(endpoint.namespaces)) {
      const known = this.namespaces.get(name);
      if (known) known.declare(declaration);
      else this.namespaces.set(name, new DeclaredNamespace(this.io.of(name), declaration, this.meters));
    }
    for (const namespace of this.namespaces.values()) namespace.mounted();
  }

  opened(connection: Connection): void {
    this.connections.add(connection);
    this.unjoined.set(connection);
    this.#observer?.opened(connection.conn.remoteAddress);
  }

  closed(connection: Connection): void {
    const { endedBy, closeCode, remoteAddress } = connection.conn;
    this.connections.delete(connection);
    this.unjoined.delete(connection);
    this.meters.closed(endedBy ?? "lost", closeCode);
    this.log.debug({ by: endedBy, code: closeCode }, "session closed");
    this.#observer?.closed(remoteAddress);
  }

  /** A peer was admitted. */
  began(): void {
    this.#unfinished++;
  }

  /** A peer has left, and its `left` is done. */
  finished(): void {
    this.#unfinished--;
    if (this.#unfinished === 0) this.#settled?.();
  }

  /** Resolves when every peer has left, at the latest after `timeout` ms. */
  settled(timeout: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#unfinished === 0) return Promise.resolve();
    this.#settled = resolve;
    const cancel = this.clock.after(timeout, resolve);
    return promise.finally(cancel);
  }

  #deadlines({ connectTimeout }: SocketIoEndpoint): Deadlines<Connection> {
    return new Deadlines(this.clock, connectTimeout, (connection) => connection.expire());
  }
}
