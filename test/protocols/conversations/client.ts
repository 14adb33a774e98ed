import { io as io4 } from "socket.io-client";
import type { Person } from "./stage.ts";

// Generation 2 takes the global WebSocket where there is one. It decides when it is loaded.
const browserSocket = globalThis.WebSocket;
Reflect.deleteProperty(globalThis, "WebSocket");
const { default: io2 } = await import("socket.io-client-v2.3");
globalThis.WebSocket = browserSocket;

export const PATH = "/v1/conversations/sockets/";
export const EVENTS = "/v1/conversations/events";

export type Role = "BUYER" | "SELLER";

/** Of the stock client: 4 (Engine.IO 4) or 2 (Engine.IO 3). */
export type Generation = 2 | 4;

/** How a client connects. */
export interface ClientOptions {
  readonly generation?: Generation;
  readonly role?: Role;
  readonly namespace?: string;
  /** Instead of token, user_id and user_role. */
  readonly credentials?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
  readonly reconnection?: boolean;
  /** Default: websocket alone. */
  readonly transports?: readonly string[];
}

/** What both generations of the stock client have in common. */
interface StockSocket {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  close(): unknown;
  open(): unknown;
  readonly connected: boolean;
  readonly io: { readonly engine: { readonly transport: unknown } };
}

/** Something a client was told: an event with its payload. */
export type Told = readonly [event: string, payload?: unknown];

const TOLD = [
  ...["connect", "disconnect", "error", "connect_error"],
  ...["create_room", "new_message", "typing", "stop_typing", "seen_messages", "room_deletion", "active_user_list"],
  ...["user_status_change", "verify_user", "error_message", "new_auction_result"],
];

/** A stock client that keeps everything it is told, in order. */
export class Client {
  readonly socket: StockSocket;
  readonly person: Person;
  readonly told: Told[] = [];
  #read = 0;
  #wake = Promise.withResolvers<void>();

  constructor(socket: StockSocket, person: Person) {
    this.socket = socket;
    this.person = person;
    for (const event of TOLD) {
      socket.on(event, (payload) => {
        const message = event === "connect_error" && payload instanceof Error ? payload.message : payload;
        this.told.push([event, message]);
        this.#wake.resolve();
        this.#wake = Promise.withResolvers();
      });
    }
  }

  /** The next thing it is told that was not asked for yet. */
  async next(): Promise<Told> {
    while (this.#read === this.told.length) await this.#wake.promise;
    return this.told[this.#read++]!;
  }

  /** Waits until it is told this event, past all others; returns its payload. */
  async until<T = Record<string, unknown>>(event: string, fits: (payload: T) => boolean = () => true): Promise<T> {
    for (;;) {
      const [name, payload] = await this.next();
      if (name === event && fits(payload as T)) return payload as T;
    }
  }

  /** What it was told and nobody asked for, after everything under way on its node has arrived. */
  async rest(): Promise<Told[]> {
    await this.ask("no such event");
    const rest = this.told.slice(this.#read);
    this.#read = this.told.length;
    return rest;
  }

  emit(event: string, ...args: unknown[]): void {
    this.socket.emit(event, ...args);
  }

  /** Sends an event and waits for its acknowledgement. */
  ask<T = Record<string, unknown>>(event: string, ...args: unknown[]): Promise<T> {
    return new Promise((resolve) => this.socket.emit(event, ...args, (answer: unknown) => resolve(answer as T)));
  }

  close(): void {
    this.socket.close();
  }

  /** Vanishes without a word, as in a network drop. */
  drop(): void {
    (this.socket.io.engine.transport as { ws: { terminate(): void } }).ws.terminate();
  }
}

/** Connects a stock client the way existing clients do; takes its `connect` unless credentials are given. */
export async function connectClient(url: string, person: Person, options: ClientOptions = {}): Promise<Client> {
  const {
    generation = 2,
    role = "SELLER",
    namespace = EVENTS,
    headers,
    reconnection = false,
    transports = ["websocket"],
  } = options;
  const credentials = options.credentials ?? { token: person.token, user_id: person.id, user_role: role };
  const common = {
    path: PATH,
    transports: [...transports],
    reconnection,
    forceNew: true,
    timeout: 20_000,
    ...(headers && { extraHeaders: headers, transportOptions: { websocket: { extraHeaders: headers } } }),
  };
  const text = Object.fromEntries(Object.entries(credentials).map(([name, value]) => [name, String(value)]));
  const socket =
    generation === 4
      ? io4(url + namespace, { ...common, auth: credentials })
      : // The existing web client shows its credentials twice.
        io2(`${url}${namespace}?${new URLSearchParams(text)}`, { ...common, query: text });
  const client = new Client(socket as unknown as StockSocket, person);
  if (!options.credentials) {
    const [event, reason] = await client.next();
    if (event !== "connect") throw new Error(`not connected: ${event} ${JSON.stringify(reason)}`);
  }
  return client;
}
