import type { Server } from "bun";
import type { Namespace } from "socket.io";
import { type Socket as Client, io, type ManagerOptions, type SocketOptions } from "socket.io-client";
import type { Socket as ClientV2 } from "socket.io-client-v2";
import type { Backplane } from "../../src/backplane/backplane.ts";
import { MemoryBackplane } from "../../src/backplane/memory.ts";
import type { Clock } from "../../src/clock.ts";
import { createLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import {
  type NamespaceDeclaration,
  namespace,
  type Peer,
  type SocketIoEndpoint,
  socketio,
} from "../../src/socketio/endpoint.ts";
import { mountSocketIo, type SocketIoMount } from "../../src/socketio/mount.ts";
import { type SocketOwner, socketHandlers } from "../../src/websocket.ts";
import { ManualClock } from "../support/clock.ts";
import { io2 as ioV2 } from "../support/generation-2.ts";

const metrics = createMetrics();
let stations = 0;

type Declaration<Session> = Partial<NamespaceDeclaration<Session>>;

/** A namespace that admits everybody and knows no event, changed by what is given. */
export function declare<Session = unknown>(declaration: Declaration<Session> = {}): NamespaceDeclaration<never> {
  return namespace<Session>({ authenticate: () => ({ session: {} as Session }), on: {}, ...declaration });
}

/** An endpoint at `/io`, changed by what is given. */
export function endpoint(
  namespaces: SocketIoEndpoint["namespaces"],
  given: Partial<Omit<SocketIoEndpoint, "namespaces">> = {},
): SocketIoEndpoint {
  return socketio({
    path: "/io",
    revisions: [3, 4],
    transports: ["polling", "websocket"],
    pingInterval: 25_000,
    pingTimeout: 20_000,
    connectTimeout: 10_000,
    maxMessageBytes: 65_536,
    maxOutboxBytes: 1_048_576,
    maxInbox: 64,
    namespaces,
    ...given,
  });
}

/** One node with a Socket.IO endpoint on a port of its own. Time stands still unless a clock is given. */
export class Station {
  readonly clock: Clock;
  readonly mount: SocketIoMount;
  readonly server: Server<SocketOwner>;
  /** Peers of all namespaces, in the order they were admitted. Not kept where the declaration has a `joined`. */
  readonly peers: Peer<unknown>[] = [];
  /** Lines of the log, warnings and worse. */
  readonly logged: string[] = [];
  /** Sessions the observer knows to be open. */
  observed = 0;
  /** Why the listener turns away whoever comes; null lets everybody in. */
  refusal: string | null = null;
  readonly protocol = `socketio-station-${++stations}`;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #clients: { close(): unknown }[] = [];

  constructor(
    declared: SocketIoEndpoint | SocketIoEndpoint["namespaces"],
    options: { readonly clock?: Clock; readonly backplane?: Backplane; readonly name?: string } = {},
  ) {
    this.clock = options.clock ?? new ManualClock();
    const log = createLog({ level: "warn", format: "json", stream: { write: (line) => this.logged.push(line) } });
    this.mount = mountSocketIo(
      this.#watched("kind" in declared ? (declared as SocketIoEndpoint) : endpoint(declared)),
      {
        name: options.name ?? this.protocol,
        clock: this.clock,
        log,
        metrics: metrics.of(this.protocol),
        backplane: options.backplane ?? new MemoryBackplane(this.protocol, { clock: this.clock, log }),
        observer: {
          opened: () => {
            this.observed++;
          },
          closed: () => {
            this.observed--;
          },
        },
      },
    );
    this.server = Bun.serve<SocketOwner>({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 120,
      fetch: (request, server) => {
        const url = new URL(request.url);
        if (!this.mount.paths.includes(url.pathname)) return new Response(null, { status: 404 });
        const refusal = this.mount.opensSocket(request, url) ? this.refusal : null;
        return this.mount.handle(request, server, { address: "127.0.0.1" }, refusal);
      },
      websocket: {
        ...socketHandlers,
        idleTimeout: 0,
        sendPings: false,
        maxPayloadLength: 1_048_576,
        backpressureLimit: 16 * 1_048_576,
        closeOnBackpressureLimit: true,
      },
    });
  }

  get url(): string {
    return this.server.url.origin;
  }

  /** Where socket.io broadcasts of a namespace start. */
  namespace(name = "/"): Namespace {
    const found = this.#namespaces.get(name);
    if (!found) throw new Error(`${name} is not mounted`);
    return found;
  }

  swap(declared: SocketIoEndpoint): void {
    this.mount.swap(this.#watched(declared));
  }

  /** A stock client of generation 4 that is not connected yet. */
  client(name = "/", options: Partial<ManagerOptions & SocketOptions> = {}): Client {
    const client = io(this.url + name, { path: "/io", forceNew: true, reconnection: false, ...options });
    this.#clients.push(client);
    return client;
  }

  /** A stock client of generation 2 that is not connected yet. */
  clientV2(name = "/", options: Readonly<Record<string, unknown>> = {}): ClientV2 {
    const client = ioV2(this.url + name, { path: "/io", forceNew: true, reconnection: false, ...options });
    this.#clients.push(client);
    return client;
  }

  /** The samples of this station's metrics whose line contains all of the words. */
  async samples(...words: string[]): Promise<string[]> {
    const lines = (await metrics.text()).split("\n");
    return lines.filter((line) => [`"${this.protocol}"`, ...words].every((word) => line.includes(word)));
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    // Whoever is not done yet, because a test has failed, is not waited for in vain.
    const { clock } = this;
    const passing = clock instanceof ManualClock ? setInterval(() => clock.advance(50), 1) : undefined;
    await this.mount.close();
    clearInterval(passing);
    await this.server.stop(true);
  }

  /** Wraps a declaration so that the test can see its namespaces and peers. */
  #watched(declared: SocketIoEndpoint): SocketIoEndpoint {
    const namespaces: Record<string, NamespaceDeclaration<never>> = {};
    for (const [name, declaration] of Object.entries(declared.namespaces)) {
      namespaces[name] = {
        joined: (peer) => {
          this.peers.push(peer);
        },
        ...declaration,
        mounted: (mounted) => {
          this.#namespaces.set(name, mounted);
          declaration.mounted?.(mounted);
        },
      };
    }
    return { ...declared, namespaces };
  }
}
