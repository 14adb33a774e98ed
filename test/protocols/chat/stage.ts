import { randomUUID } from "node:crypto";
import { signToken } from "../../../src/accounts/sign.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { chat } from "../../../src/protocols/chat/protocol.ts";
import type { Protocol } from "../../../src/protocols/protocol.ts";
import { ManualClock } from "../../support/clock.ts";
import type { TestGateway } from "../../support/gateway.ts";
import { postgresUrl } from "../../support/postgres.ts";
import { StageSet } from "../../support/stages.ts";
import { Client, disconnection, type End } from "./client.ts";

export const SECRET = "a secret for the tests of the chat";
export const ADMIN_TOKEN = "the token of the administrators";

/** Somebody with a token. */
export interface Person {
  readonly id: string;
  readonly token: string;
}

/** An answer of a REST call with its JSON body. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Somebody new, or with these claims; the token is good for an hour. */
export async function person(claims: Record<string, unknown> = {}, clock: Clock = systemClock): Promise<Person> {
  const id = randomUUID();
  const exp = Math.floor(clock.now() / 1000) + 3_600;
  const all = { sub: id, exp, role: "authenticated", aud: "authenticated", ...claims };
  return { id: String(all.sub).toLowerCase(), token: await signToken(all, SECRET) };
}

/** A REST call to a gateway as somebody; a body that is no text is sent as JSON. */
export async function call(
  url: string,
  method: string,
  path: string,
  options: { as?: Person; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { as, body, headers } = options;
  const response = await fetch(url + path, {
    method,
    headers: { ...(as ? { authorization: `Bearer ${as.token}` } : {}), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    redirect: "manual",
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

/** Whether the gateways of a test file stand on one database; embedded ones each have their own. */
export const sharesDatabase = postgresUrl !== undefined;

/** The body of an error. */
export const failed = (text: string) => ({ error_message: text, message: text, data: null });
export const enveloped = (data: unknown) => ({ error_message: null, data });

/** A gateway that serves the chat, and everything a test of it needs. */
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

  person(claims: Record<string, unknown> = {}): Promise<Person> {
    return person(claims, this.clock);
  }

  people(count: number): Promise<Person[]> {
    return Promise.all(Array.from({ length: count }, () => this.person()));
  }

  /** A socket of this person, open. */
  async client(who: Person, query = ""): Promise<Client> {
    return await this.knock(`/chat/ws?token=${who.token}${query}`).opened();
  }

  /** A socket at a path, whatever comes of it. */
  knock(path: string, options: { headers?: Record<string, string>; protocols?: string[] } = {}): Client {
    const client = new Client(this.url + path, options);
    this.clients.push(client);
    return client;
  }

  call(method: string, path: string, options: Parameters<typeof call>[3] = {}): Promise<Answer> {
    return call(this.url, method, path, options);
  }

  /** A call of an administrator. */
  administer(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    return call(this.gateway.internalUrl, method, path, { headers, ...(body === undefined ? {} : { body }) });
  }

  /** A room of these people, made by the first. */
  async room(owner: Person, ...others: Person[]): Promise<number> {
    const users = others.map(({ id }) => id);
    const { status, body } = await this.call("POST", "/rooms", { as: owner, body: { users, apartment_id: null } });
    if (status !== 200) throw new Error(`no room: ${status} ${JSON.stringify(body)}`);
    return (body as { data: number }).data;
  }

  /** The texts in a room, oldest first. */
  async texts(who: Person, room: number): Promise<string[]> {
    const { body } = await this.call("GET", `/rooms/${room}`, { as: who });
    return (body as { messages: { message: string }[] }).messages.map(({ message }) => message);
  }

  leave(): void {
    for (const client of this.clients.splice(0)) client.close();
  }

  async stop(options?: { keepData?: boolean }): Promise<void> {
    this.leave();
    await this.gateway.stop(options);
  }
}

/** A stage whose time only the test moves. */
export class TimedStage extends Stage {
  declare readonly clock: ManualClock;

  /** Lets time pass second by second, and recurring work run. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= 1_000) {
      this.clock.advance(Math.min(1_000, left));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** The stages of a test file. */
export class Stages extends StageSet<Stage> {
  start(options: { env?: Record<string, string>; clock?: ManualClock; protocols?: readonly Protocol[] } = {}) {
    const { clock } = options;
    const env = { CHAT_JWT_SECRET: SECRET, CHAT_ADMIN_TOKEN: ADMIN_TOKEN, ...options.env };
    return this.launch({ protocols: [chat], ...options, env }, (gateway) =>
      clock ? new TimedStage(gateway, clock) : new Stage(gateway, systemClock),
    );
  }

  /** Starts a gateway whose time only the test moves. */
  async startTimed(env: Record<string, string> = {}): Promise<TimedStage> {
    const clock = new ManualClock(Math.ceil(Date.now() / 1000) * 1000);
    return (await this.start({ env, clock })) as TimedStage;
  }
}

/** What the end of a socket by the server looks like: the frame, then the close with the same words (C-7.1). */
export async function outcome(client: Client): Promise<{ frames: unknown[]; end: End }> {
  const end = await client.closed;
  return { frames: client.rest(), end };
}

/** The outcome of a socket that was told why it ends, and nothing else. */
export const told = (end: End) => ({ frames: [disconnection(end.code, end.reason)], end });
