import { expect, setDefaultTimeout } from "bun:test";
import { randomInt } from "node:crypto";
import * as v from "valibot";
import { signToken } from "../../../src/accounts/sign.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { conversations } from "../../../src/protocols/conversations/protocol.ts";
import type { ManualClock } from "../../support/clock.ts";
import type { TestGateway } from "../../support/gateway.ts";
import { StageSet } from "../../support/stages.ts";
import { type Client, type ClientOptions, connectClient, type Generation, type Role } from "./client.ts";

// Noise on a busy machine must not fail a test.
setDefaultTimeout(180_000);

export const SECRET = "a secret for the tests of conversations";
export const API = "/v1/conversations";

/** Somebody with a token. */
export interface Person {
  readonly id: string;
  readonly token: string;
}

/** A moment as clients get it. */
export const T = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** A JSON object of any shape. */
export type Json = Readonly<Record<string, unknown>>;

/** What stands deep in some JSON; undefined where the path ends before. */
export function dig(json: unknown, ...path: (string | number)[]): unknown {
  return path.reduce((value: unknown, key) => (value as Record<string, unknown> | undefined)?.[key], json);
}

/** An answer with its JSON body. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Json;
}

/** A page of messages. */
const Page = v.object({
  data: v.array(v.looseObject({ _id: v.string(), content: v.string(), created_at: v.string() })),
  has_more: v.boolean(),
});

/** The page of messages in an answer. */
export const pageIn = (body: unknown) => v.parse(Page, body);

/** Somebody new, or with this id and these claims; the token is good for an hour. */
export async function person(
  id: string = String(randomInt(1, 2 ** 40)),
  claims: Record<string, unknown> = {},
  clock: Clock = systemClock,
): Promise<Person> {
  const exp = Math.floor(clock.now() / 1000) + 3600;
  return { id, token: await signToken({ sub: id, exp, ...claims }, SECRET) };
}

/** A gateway that serves conversations, and everything a test of it needs. */
export class Stage {
  readonly gateway: TestGateway;
  readonly clock: Clock;
  readonly clients: Client[] = [];

  constructor(gateway: TestGateway, clock: Clock) {
    this.gateway = gateway;
    this.clock = clock;
  }

  get url(): string {
    return this.gateway.url;
  }

  person(id?: string, claims?: Record<string, unknown>): Promise<Person> {
    return person(id, claims, this.clock);
  }

  /** A connected client; closed when the stage is. Without a person somebody new connects. */
  async client(options: ClientOptions & { person?: Person } = {}): Promise<Client> {
    const client = await connectClient(this.url, options.person ?? (await this.person()), options);
    this.clients.push(client);
    return client;
  }

  /** A call to a REST route below the API's prefix, as a person. */
  async call(
    as: Person | null,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${API}${path}`, {
      method,
      headers: {
        ...(as && { "x-chozoi-token": as.token }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      redirect: "manual",
    });
    const text = await response.text();
    const json = response.headers.get("content-type")?.includes("json") && text !== "";
    return { status: response.status, headers: response.headers, text, body: json ? JSON.parse(text) : {} };
  }

  /** A room of a new buyer and a new seller, made by REST. */
  async room(creatorRole: Role = "BUYER", wish: Record<string, unknown> = {}): Promise<Room> {
    const [buyer, seller] = [await this.person(), await this.person()];
    return this.roomOf(buyer, seller, creatorRole, wish);
  }

  async roomOf(
    buyer: Person,
    seller: Person,
    creatorRole: Role = "BUYER",
    wish: Record<string, unknown> = {},
  ): Promise<Room> {
    const creator = creatorRole === "BUYER" ? buyer : seller;
    const body = { type: "BS", buyer: buyer.id, seller: seller.id, shop_id: "7", creator: creator.id, ...wish };
    const answer = await this.call(creator, "POST", "/rooms", body);
    if (answer.status !== 200) throw new Error(`no room: ${answer.status} ${answer.text}`);
    return { id: `${buyer.id}.${seller.id}`, buyer, seller };
  }

  /** A room with both people connected, everything about their coming taken. */
  async meeting(
    generations: { buyer?: Generation; seller?: Generation } = {},
  ): Promise<{ room: Room; buyer: Client; seller: Client }> {
    const room = await this.room();
    const seller = await this.client({ person: room.seller, generation: generations.seller ?? 2 });
    await seller.until("active_user_list");
    const buyer = await this.client({ person: room.buyer, role: "BUYER", generation: generations.buyer ?? 4 });
    await buyer.until("active_user_list");
    await seller.until("user_status_change");
    return { room, buyer, seller };
  }

  /** Has one side say something; what was confirmed of it. */
  async say(room: Room, from: "buyer" | "seller", ...texts: string[]): Promise<{ _id: string; created_at: string }[]> {
    const client = await this.client({ person: room[from], role: from === "buyer" ? "BUYER" : "SELLER" });
    const sent: { _id: string; created_at: string }[] = [];
    for (const text of texts) {
      const { message } = await client.ask<{ message: (typeof sent)[0] }>("new_message", draft(room, from, text));
      sent.push(message);
    }
    client.close();
    return sent;
  }

  /** How many messages of a room its seller has not seen. */
  async unseenOf(room: Room): Promise<unknown> {
    return (await this.call(room.seller, "GET", "/rooms/unseen?role=SELLER")).body.unseen_messages;
  }

  async stop(options?: { keepData?: boolean }): Promise<void> {
    for (const client of this.clients.splice(0)) client.close();
    await this.gateway.stop(options);
  }
}

/** A room and its people. */
export interface Room {
  readonly id: string;
  readonly buyer: Person;
  readonly seller: Person;
}

/** The payload of a `new_message` in a room. */
export function draft(room: Room, from: "buyer" | "seller", content: string, more: Record<string, unknown> = {}) {
  const [sender, receiver] = from === "buyer" ? [room.buyer, room.seller] : [room.seller, room.buyer];
  return {
    room_id: room.id,
    from: sender.id,
    to: receiver.id,
    type: "TEXT",
    content,
    client_message_id: null,
    ...more,
  };
}

/** The stages of a test file. */
export class Stages extends StageSet<Stage> {
  start(options: { env?: Record<string, string>; clock?: ManualClock } = {}): Promise<Stage> {
    const env = { CONVERSATIONS_JWT_SECRET: SECRET, ...options.env };
    return this.launch(
      { protocols: [conversations], ...options, env },
      (gateway) => new Stage(gateway, options.clock ?? systemClock),
    );
  }
}
