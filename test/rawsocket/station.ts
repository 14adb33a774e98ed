import type { Server } from "bun";
import type { Clock } from "../../src/clock.ts";
import { createLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { type RawEndpoint, rawsocket } from "../../src/rawsocket/endpoint.ts";
import { mountRawSocket, type RawSocketMount } from "../../src/rawsocket/mount.ts";
import { type SocketOwner, socketHandlers } from "../../src/websocket.ts";
import { ManualClock } from "../support/clock.ts";

const metrics = createMetrics();
let stations = 0;

/** What a test's endpoint is made of: whatever it leaves out is the declaration of a plain echo. */
export type Declaration<Session> = Partial<Omit<RawEndpoint<Session>, "limits">> & {
  readonly limits?: Partial<RawEndpoint<Session>["limits"]>;
};

/** An endpoint under test: an echo at `/echo`, changed by what is given. */
export function endpoint<Session = unknown>(declaration: Declaration<Session> = {}): RawEndpoint<unknown> {
  return rawsocket<Session>({
    name: "echo",
    paths: ["/echo"],
    opened() {},
    received: (channel, frame) => channel.send(String(frame)),
    closes: {
      slowReader: { code: 4009, reason: "Too slow" },
      noPong: { code: 4012, reason: "No pong" },
      drain: { code: 4007, reason: "Shutting down" },
      full: { code: 4013, reason: "Full" },
      lastFrame: (code, reason) => JSON.stringify({ bye: code, reason }),
    },
    ...declaration,
    limits: {
      maxFrameBytes: 65_536,
      maxOutboxBytes: 1_048_576,
      maxInbox: 64,
      pingInterval: 30_000,
      pongTimeout: 10_000,
      ...declaration.limits,
    },
  });
}

/** A listener with raw endpoints on a port of its own. Time stands still unless a clock is given. */
export class Station<C extends Clock = ManualClock> {
  readonly clock: C;
  readonly mounts: readonly RawSocketMount[];
  readonly server: Server<SocketOwner>;
  /** Lines of the log, warnings and worse. */
  readonly logged: string[] = [];
  /** Sockets the observer knows to be open. */
  observed = 0;
  /** Why the listener turns away whoever comes; null lets everybody in. */
  refusal: string | null = null;
  readonly #protocol = `station-${++stations}`;

  private constructor(endpoints: readonly RawEndpoint<unknown>[], clock: C) {
    this.clock = clock;
    const log = createLog({ level: "warn", format: "json", stream: { write: (line) => this.logged.push(line) } });
    const observer = {
      opened: () => {
        this.observed++;
      },
      closed: () => {
        this.observed--;
      },
    };
    const deps = { name: this.#protocol, clock, log, metrics: metrics.of(this.#protocol), observer };
    this.mounts = endpoints.map((endpoint) => mountRawSocket(endpoint, deps));
    this.server = Bun.serve<SocketOwner>({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, server) => this.#fetch(request, server),
      websocket: {
        ...socketHandlers,
        idleTimeout: 0,
        sendPings: false,
        maxPayloadLength: 1_048_576,
        backpressureLimit: 4_194_304,
        closeOnBackpressureLimit: true,
      },
    });
  }

  static start(...endpoints: RawEndpoint<unknown>[]): Station {
    return new Station(endpoints, new ManualClock());
  }

  static startOn<C extends Clock>(clock: C, ...endpoints: RawEndpoint<unknown>[]): Station<C> {
    return new Station(endpoints, clock);
  }

  /** The mount of the first endpoint. */
  get mount(): RawSocketMount {
    return this.mounts[0] as RawSocketMount;
  }

  /** The WebSocket URL of a path. */
  url(path = "/echo"): string {
    return `ws://127.0.0.1:${this.server.port}${path}`;
  }

  /** Value of a series, 0 when it is not there. `labels` are those to look for. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const wanted = Object.entries({ protocol: this.#protocol, ...labels }).map(([key, value]) => `${key}="${value}"`);
    let sum = 0;
    for (const line of (await metrics.text()).split("\n")) {
      if (!line.startsWith(`patchbay_${name}{`) || !wanted.every((label) => line.includes(label))) continue;
      sum += Number(line.slice(line.lastIndexOf(" ")));
    }
    return sum;
  }

  async stop(): Promise<void> {
    for (const mount of this.mounts) mount.close();
    await this.server.stop(true);
  }

  async #fetch(request: Request, server: Server<SocketOwner>): Promise<Response | undefined> {
    // `OPTIONS *` and `CONNECT *` are requests without a URL.
    if (!URL.canParse(request.url)) return new Response("no URL", { status: 400 });
    const url = new URL(request.url);
    const client = { address: server.requestIP(request)?.address ?? "" };
    for (const mount of this.mounts) {
      if (!mount.paths.includes(url.pathname)) continue;
      const refusal = mount.opensSocket(request, url) ? this.refusal : null;
      const answer = await mount.handle(request, server, client, refusal);
      if (answer !== null) return answer;
    }
    return new Response("not taken", { status: 404 });
  }
}
