import { once } from "node:events";
import { Engine, type EngineOptions, type EngineSocket } from "../../../src/socketio/engine/index.ts";
import { ManualClock } from "../../support/clock.ts";

export const REVISIONS = [3, 4] as const;
export type Revision = (typeof REVISIONS)[number];

/** One or more engines on a port of their own. Time stands still for the first one unless a clock is given. */
export class Station implements AsyncDisposable {
  readonly engine: Engine;
  readonly server: Bun.Server<never>;

  private constructor(engine: Engine, server: Bun.Server<never>) {
    this.engine = engine;
    this.server = server;
  }

  /** Serves engines, each on its own path; the first one is `engine`. */
  static open(options: EngineOptions = {}, ...others: Engine[]): Station {
    const engine = new Engine({ clock: new ManualClock(), ...options });
    const handlers = [engine, ...others].map((each) => ({ path: each.opts.path, fetch: each.handler().fetch }));
    const server = Bun.serve({
      port: 0,
      ...engine.handler(),
      fetch(request, server) {
        const own = handlers.find(({ path }) => request.url.includes(path)) ?? handlers[0];
        return own?.fetch(request, server);
      },
    });
    return new Station(engine, server as unknown as Bun.Server<never>);
  }

  /** The URL of an engine's path with this query. */
  url(query: string, engine = this.engine): string {
    return `http://127.0.0.1:${this.server.port}${engine.opts.path}?${query}`;
  }

  fetch(query: string, init?: RequestInit): Promise<Response> {
    return fetch(this.url(query), init);
  }

  /** Starts a polling session. */
  async polling(revision: Revision, query = ""): Promise<Polling> {
    const response = await this.fetch(`EIO=${revision}&transport=polling${query}`);
    const [open = ""] = unpack(revision, await response.text());
    const { sid } = JSON.parse(open.slice(1)) as { sid: string };
    return new Polling(this, revision, sid);
  }

  /** Opens a WebSocket and takes its open packet. */
  async websocket(revision: Revision, query = "", engine = this.engine): Promise<Frames> {
    const frames = new Frames(this.url(`EIO=${revision}&transport=websocket${query}`, engine));
    await frames.next();
    return frames;
  }

  /** The server's side of a session. */
  session(sid: string): EngineSocket {
    const socket = this.engine.sessions.get(sid);
    if (!socket) throw new Error(`no session ${sid}`);
    return socket;
  }

  /** A WebSocket session from both sides. */
  async pair(revision: Revision, query = "", engine = this.engine): Promise<{ client: Frames; socket: EngineSocket }> {
    const connected = once(engine, "connection");
    const client = await this.websocket(revision, query, engine);
    const [socket] = (await connected) as [EngineSocket];
    return { client, socket };
  }

  /** A session that has moved from polling to a WebSocket. */
  async upgraded(revision: Revision): Promise<{ client: Frames; socket: EngineSocket }> {
    const polling = await this.polling(revision);
    const socket = this.session(polling.sid);
    const client = polling.websocket();
    client.send("2probe");
    await client.next();
    const upgraded = once(socket, "upgrade");
    client.send("5");
    await upgraded;
    return { client, socket };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop(true);
  }
}

/** The client of a polling session. */
export class Polling {
  readonly sid: string;
  readonly #station: Station;
  readonly #revision: Revision;

  constructor(station: Station, revision: Revision, sid: string) {
    this.#station = station;
    this.#revision = revision;
    this.sid = sid;
  }

  get query(): string {
    return `EIO=${this.#revision}&transport=polling&sid=${this.sid}`;
  }

  poll(init?: RequestInit): Promise<Response> {
    return this.#station.fetch(this.query, init);
  }

  /** The packets of the next poll. */
  async take(): Promise<string[]> {
    const response = await this.poll();
    return unpack(this.#revision, await response.text());
  }

  post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> {
    return this.#station.fetch(this.query, { method: "POST", body, headers });
  }

  /** Posts text packets. */
  send(...packets: string[]): Promise<Response> {
    return this.post(pack(this.#revision, ...packets));
  }

  /** A WebSocket that wants to take the session over. */
  websocket(): Frames {
    return new Frames(this.#station.url(`EIO=${this.#revision}&transport=websocket&sid=${this.sid}`));
  }
}

/** A WebSocket client that keeps what it gets until it is asked for. */
export class Frames {
  readonly ws: WebSocket;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #frames: (string | Uint8Array)[] = [];
  readonly #waiting: ((frame: string | Uint8Array) => void)[] = [];
  readonly #opened: Promise<void>;

  constructor(url: string) {
    this.ws = new WebSocket(url.replace("http", "ws"));
    this.ws.binaryType = "nodebuffer";
    this.ws.onmessage = ({ data }: MessageEvent<string | Buffer>) => {
      const frame = typeof data === "string" ? data : Uint8Array.from(data);
      const next = this.#waiting.shift();
      if (next) next(frame);
      else this.#frames.push(frame);
    };
    this.#opened = new Promise((resolve) => {
      this.ws.onopen = () => resolve();
    });
    this.closed = new Promise((resolve) => {
      this.ws.onclose = ({ code, reason }) => resolve({ code, reason });
    });
  }

  next(): Promise<string | Uint8Array> {
    const frame = this.#frames.shift();
    return frame === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(frame);
  }

  async take(count: number): Promise<(string | Uint8Array)[]> {
    const frames = [];
    while (frames.length < count) frames.push(await this.next());
    return frames;
  }

  send(...frames: (string | Uint8Array<ArrayBuffer>)[]): void {
    void this.#opened.then(() => {
      for (const frame of frames) this.ws.send(frame);
    });
  }
}

/** Writes a text payload as the protocol documents have it. */
export function pack(revision: Revision, ...packets: string[]): string {
  return revision === 4 ? packets.join("\x1e") : packets.map((packet) => `${packet.length}:${packet}`).join("");
}

/** Reads a text payload. */
export function unpack(revision: Revision, payload: string): string[] {
  if (revision === 4) return payload.split("\x1e");
  const packets: string[] = [];
  for (let rest = payload; rest !== ""; ) {
    const colon = rest.indexOf(":");
    const end = colon + 1 + Number(rest.slice(0, colon));
    packets.push(rest.slice(colon + 1, end));
    rest = rest.slice(end);
  }
  return packets;
}

/** Sends every message back. */
export function echo(engine: Engine): void {
  engine.on("connection", (socket) => {
    socket.on("data", (data) => socket.send(data));
  });
}

/** Resolves with the reason a session ends for. */
export async function ended(socket: EngineSocket): Promise<string> {
  const [reason] = (await once(socket, "close")) as [string];
  return reason;
}

/** Resolves when a poll that was sent waits at the server. */
export async function polled(client: Polling, socket: EngineSocket): Promise<void> {
  while (!socket.transport.writable) await client.send("6");
}
