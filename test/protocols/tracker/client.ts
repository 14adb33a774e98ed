import { io as io4 } from "socket.io-client";
import { io2 } from "../../support/generation-2.ts";
import type { Person } from "./stage.ts";

/** How a client connects. */
export interface ClientOptions {
  /** Generation of the stock client: 4 (Engine.IO 4) or 2 (Engine.IO 3). */
  readonly generation?: 2 | 4;
  readonly transports?: readonly ("polling" | "websocket")[];
  /** CONNECT payload instead of none (generation 4). */
  readonly auth?: Record<string, unknown>;
  /** Instead of `authorization: Bearer <token>`. */
  readonly headers?: Record<string, string>;
  /** Do not wait for `connect`. */
  readonly patient?: boolean;
}

/** What both generations of the stock client have in common. */
interface StockSocket {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  close(): unknown;
  readonly connected: boolean;
  readonly id?: string;
  readonly io: { readonly engine: Engine };
}
interface Engine {
  readonly id: string;
  readonly transport: { readonly name: string; readonly ws?: WebSocket & { terminate(): void } };
  close(): void;
  on(event: string, listener: (...args: unknown[]) => void): void;
}

/** Something a client was told: an event with its arguments. */
export type Told = readonly [event: string, ...args: unknown[]];

const EVENTS = ["room", "room_message", "move", "error", "connect", "disconnect", "connect_error"];

/** A stock client that keeps everything it is told, in order. */
export class Client {
  readonly socket: StockSocket;
  readonly person: Person;
  /** Everything so far. */
  readonly told: Told[] = [];
  #read = 0;
  #wake = Promise.withResolvers<void>();

  constructor(socket: StockSocket, person: Person) {
    this.socket = socket;
    this.person = person;
    for (const event of EVENTS) {
      socket.on(event, (...args) => {
        this.told.push([event, ...args]);
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

  /** Waits until it is told this event, past all others; returns its first argument. */
  async until(event: string): Promise<unknown> {
    for (;;) {
      const [name, payload] = await this.next();
      if (name === event) return payload;
    }
  }

  /** What it was told and nobody asked for, after everything under way has arrived. */
  async rest(): Promise<Told[]> {
    await this.settle();
    const rest = this.told.slice(this.#read);
    this.#read = this.told.length;
    return rest;
  }

  /** Waits for an answer that can only come after all that was sent to this client before. */
  async settle(): Promise<void> {
    await this.ask("leave_room", "");
  }

  emit(event: string, ...args: unknown[]): void {
    this.socket.emit(event, ...args);
  }

  /** Sends an event and waits for its acknowledgement; returns the acknowledgement's arguments. */
  ask(event: string, ...args: unknown[]): Promise<unknown[]> {
    return new Promise((resolve) => this.socket.emit(event, ...args, (...answer: unknown[]) => resolve(answer)));
  }

  move(pin: string, lat: number, long: number): void {
    this.socket.emit("move", { lat, long, roomId: pin });
  }

  /** Joins and takes what came up to its own notice. */
  async join(pin: string): Promise<void> {
    this.emit("join_room", pin);
    for (;;) {
      const [event, payload] = await this.next();
      if (event === "error") throw new Error(`not joined: ${JSON.stringify(payload)}`);
      if (event === "room" && JSON.stringify(payload).includes(`${this.person.username} has joined room ${pin}`))
        return;
    }
  }

  get transport(): string {
    return this.socket.io.engine.transport.name;
  }

  /** Leaves by the book, with a DISCONNECT packet. */
  close(): void {
    this.socket.close();
  }

  /** Leaves by the book; resolves when the server has taken leave of it. WebSocket only. */
  async depart(): Promise<void> {
    const closed = new Promise((resolve) => this.socket.io.engine.transport.ws?.addEventListener("close", resolve));
    this.close();
    await closed;
  }

  /** Closes the connection in good order, but without a DISCONNECT packet. WebSocket only. */
  hangUp(): void {
    this.socket.io.engine.close();
  }

  /** Vanishes without a word, as in a network drop: the connection below the client breaks. WebSocket only. */
  drop(): void {
    this.socket.io.engine.transport.ws?.terminate();
  }
}

/** Connects a stock client and takes its `connect`, unless it is `patient`. */
export async function connectClient(url: string, person: Person, options: ClientOptions = {}): Promise<Client> {
  const { generation = 4, transports = ["websocket"], auth, headers, patient = false } = options;
  const common = {
    path: "/track-sio/sio",
    transports: [...transports],
    extraHeaders: headers ?? { authorization: `Bearer ${person.token}` },
    reconnection: false,
    forceNew: true,
    timeout: 20_000,
  };
  const socket =
    generation === 4
      ? io4(url, { ...common, ...(auth === undefined ? {} : { auth }) })
      : io2(url, {
          ...common,
          transportOptions: {
            polling: { extraHeaders: common.extraHeaders },
            websocket: { extraHeaders: common.extraHeaders },
          },
        });
  const client = new Client(socket as unknown as StockSocket, person);
  if (!patient) {
    const [event, reason] = await client.next();
    if (event !== "connect") throw new Error(`not connected: ${event} ${JSON.stringify(reason)}`);
  }
  return client;
}

export const roomNotice = (type: string, msg: string) => ["room", { details: { type, msg } }] as const;
export const joined = (person: Person, pin: string) =>
  roomNotice("joined_room", `${person.username} has joined room ${pin}`);
export const left = (person: Person, pin: string) =>
  roomNotice("lefted_room", `${person.username} has left room ${pin}`);
export const disconnected = (person: Person) => roomNotice("disconnected", `${person.username} disconnected`);
export const moved = (lat: number, long: number) =>
  ["move", { details: { type: "success", msg: { lat, long } } }] as const;
export const told = (type: string, msg: string) => ["error", { details: { type, msg } }] as const;
export const NO_ROOM = told("no_room", "Room not found or has expired");
export const INVALID_DATA = told("invalid_data", "Invalid data");
export const RATE_LIMITED = told("rate_limit_exceeded", "Rate limit exceeded");
export const UNAVAILABLE = told("service_unavailable", "Service unavailable");
