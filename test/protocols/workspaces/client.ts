import { io as io4 } from "socket.io-client";
import type { Person } from "./stage.ts";

// Generation 2 takes the global WebSocket where there is one, and then sends no headers: that is how it tells a browser
// from Node. It decides when it is loaded.
const browserSocket = globalThis.WebSocket;
Reflect.deleteProperty(globalThis, "WebSocket");
const { default: io2 } = await import("socket.io-client-v2.4");
globalThis.WebSocket = browserSocket;

/** How a client connects. */
export interface ClientOptions {
  /** Stock client 2.4 (Engine.IO 3, as the existing desktop client) or 4 (Engine.IO 4). */
  readonly generation?: 2 | 4;
  readonly transports?: readonly ("polling" | "websocket")[];
  readonly headers?: Record<string, string>;
}

/** What an `auth` holds beside token and workspace. */
export interface AuthOptions {
  readonly transaction?: string;
  readonly onlineStatus?: string;
  readonly prevSocketId?: string | null;
  readonly token?: string;
}

interface StockSocket {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  close(): unknown;
  readonly connected: boolean;
  readonly id?: string;
  readonly io: { readonly engine: { readonly transport: { readonly name: string }; close(): void } };
}

/** Something a client was told: an event with its payload. */
export type Told = readonly [event: string, payload: unknown];

/** A stock client that keeps everything it is told, in order. */
export class Client {
  readonly socket: StockSocket;
  readonly person: Person;
  readonly told: Told[] = [];
  #id = "";
  #read = 0;
  #settles = 0;
  #wake = Promise.withResolvers<void>();

  constructor(socket: StockSocket, person: Person) {
    this.socket = socket;
    this.person = person;
    for (const event of ["connect", "disconnect", "connect_error"])
      socket.on(event, (reason) => this.#tell(event, reason));
    const inner = socket as unknown as { onevent(packet: { data: [string, unknown] }): void };
    inner.onevent = ({ data: [event, payload] }) => this.#tell(event, payload);
  }

  /** Its socket id, as events name it; kept when the socket is gone. */
  get id(): string {
    this.#id = this.socket.id ?? this.#id;
    return this.#id;
  }

  /** The next thing it is told that was not asked for yet. */
  async next(): Promise<Told> {
    while (this.#read === this.told.length) await this.#wake.promise;
    return this.told[this.#read++]!;
  }

  /** Waits until it is told this event, past all others; returns its payload. */
  async until(event: string): Promise<unknown> {
    for (;;) {
      const [name, payload] = await this.next();
      if (name === event) return payload;
    }
  }

  /** What it was told and nobody asked for, once everything under way has arrived. */
  async rest(): Promise<Told[]> {
    await this.settle();
    const rest = this.told.slice(this.#read);
    this.#read = this.told.length;
    return rest;
  }

  /** The names of {@link rest}. */
  async names(): Promise<string[]> {
    return (await this.rest()).map(([event]) => event);
  }

  /** Waits for an answer that can only come after all that was sent to this client before, and hides it. */
  async settle(): Promise<void> {
    const transaction = `settle-${++this.#settles}`;
    this.socket.emit("settle", { transaction });
    const last = (event: string, payload: unknown) =>
      event === "socket-api-error" && (payload as { event: string }).event === "settle";
    for (let from = this.#read; ; ) {
      const at = this.told.findIndex(([event, payload], index) => index >= from && last(event, payload));
      if (at >= 0) {
        this.told.splice(at - 1, 2);
        return;
      }
      from = this.told.length;
      await this.#wake.promise;
    }
  }

  emit(event: string, ...args: unknown[]): void {
    this.socket.emit(event, ...args);
  }

  /** Authenticates; returns the payload of `auth-success`, or the message of the error. */
  async auth(workspaceId: string, options: AuthOptions = {}): Promise<Record<string, unknown>> {
    this.emit("auth", { token: this.person.token, workspaceId, transaction: "auth", ...options });
    for (;;) {
      const [event, payload] = await this.next();
      if (event === "auth-success") return payload as Record<string, unknown>;
      if (event === "socket-api-error") return payload as Record<string, unknown>;
      if (event === "disconnect") throw new Error(`disconnected: ${payload}`);
    }
  }

  get transport(): string {
    return this.socket.io.engine.transport.name;
  }

  /** Leaves by the book. */
  close(): void {
    this.socket.close();
  }

  /** Vanishes without a word, as in a network drop: the connection below the client breaks. WebSocket only. */
  drop(): void {
    (this.socket.io.engine.transport as unknown as { ws: { terminate(): void } }).ws.terminate();
  }

  #tell(event: string, payload: unknown): void {
    if (event === "connect") this.#id = this.socket.id ?? "";
    this.told.push([event, payload]);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

/** Connects a stock client and waits for its `connect`. */
export async function connectClient(url: string, person: Person, options: ClientOptions = {}): Promise<Client> {
  const { generation = 2, transports = ["websocket"], headers = {} } = options;
  const common = {
    transports: [...transports],
    reconnection: false,
    forceNew: true,
    timeout: 20_000,
    extraHeaders: headers,
  };
  const socket =
    generation === 4
      ? io4(url, common)
      : io2(url, {
          ...common,
          transportOptions: { polling: { extraHeaders: headers }, websocket: { extraHeaders: headers } },
        });
  const client = new Client(socket as unknown as StockSocket, person);
  const [event, reason] = await client.next();
  if (event !== "connect") throw new Error(`not connected: ${event} ${String(reason)}`);
  return client;
}
