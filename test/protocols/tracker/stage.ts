import { randomInt } from "node:crypto";
import { signToken } from "../../../src/accounts/sign.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { tracker } from "../../../src/protocols/tracker/protocol.ts";
import { ManualClock } from "../../support/clock.ts";
import type { TestGateway } from "../../support/gateway.ts";
import { StageSet } from "../../support/stages.ts";
import { type Client, type ClientOptions, connectClient } from "./client.ts";

export const SECRET = "an access secret for the tests of the tracker";
export const REFRESH_SECRET = "a refresh secret for the tests of the tracker";
export const PATH = "/track-sio/sio/";

/** Somebody with a token. */
export interface Person {
  readonly user_id: number | string;
  readonly username: string;
  readonly token: string;
}

/** A gateway that serves the tracker, and everything a test of it needs. */
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

  /** Somebody new, or with these claims; the token is good for half an hour. */
  async person(claims: Record<string, unknown> = {}): Promise<Person> {
    const number = randomInt(1, 2 ** 31);
    const all = {
      user_id: number,
      username: `user${number}`,
      exp: Math.floor(this.clock.now() / 1000) + 1800,
      ...claims,
    };
    const token = await signToken(all, SECRET);
    return { user_id: all.user_id, username: all.username.toLowerCase(), token };
  }

  /** A PIN of this person, or of somebody new. */
  async pin(owner?: Person): Promise<string> {
    const { token } = owner ?? (await this.person());
    const response = await fetch(`${this.url}/track/generate-pin`, { headers: { authorization: `Bearer ${token}` } });
    if (response.status !== 200) throw new Error(`no PIN: ${response.status} ${await response.text()}`);
    const body = (await response.json()) as { room_id: string };
    return body.room_id;
  }

  /** A connected client; closed when the stage is. Without a person somebody new connects. */
  async client(options: ClientOptions & { person?: Person } = {}): Promise<Client> {
    const person = options.person ?? (await this.person());
    const client = await connectClient(this.url, person, options);
    this.clients.push(client);
    return client;
  }

  /** A client that has joined a room and taken its own notice. */
  async member(pin: string, options: ClientOptions & { person?: Person } = {}): Promise<Client> {
    const client = await this.client(options);
    await client.join(pin);
    return client;
  }

  /** A call to a REST route, with a JSON body if there is one. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      redirect: "manual",
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: JSON.parse(text || "{}") as Answer["body"],
    };
  }

  /** Sends the clients away, so that nobody has to be drained. */
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

  /** Lets time pass second by second: recurring work runs, and connected clients answer their pings. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= 1000) {
      this.clock.advance(Math.min(1000, left));
      await new Promise((resolve) => setImmediate(resolve));
      if (left % 10_000 < 1000)
        await Promise.all(this.clients.filter((c) => c.socket.connected).map((c) => c.settle()));
    }
  }
}

/** An answer with its JSON body. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The stages of a test file. */
export class Stages extends StageSet<Stage> {
  start(options: { env?: Record<string, string>; clock?: ManualClock; dataDir?: string } = {}) {
    const { clock } = options;
    const env = { TRACKER_JWT_SECRET: SECRET, TRACKER_REFRESH_SECRET: REFRESH_SECRET, ...options.env };
    return this.launch({ protocols: [tracker], ...options, env }, (gateway) =>
      clock ? new TimedStage(gateway, clock) : new Stage(gateway, systemClock),
    );
  }

  /** Starts a gateway whose time only the test moves. */
  async startTimed(env: Record<string, string> = {}): Promise<TimedStage> {
    const clock = new ManualClock(Math.ceil(Date.now() / 1000) * 1000);
    return (await this.start({ env, clock })) as TimedStage;
  }
}
