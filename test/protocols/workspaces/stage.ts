import type { Clock } from "../../../src/clock.ts";
import { workspaces } from "../../../src/protocols/workspaces/protocol.ts";
import { ManualClock } from "../../support/clock.ts";
import { startGateway, type TestGateway } from "../../support/gateway.ts";
import { type FreshDatabase, freshDatabase, postgresUrl } from "../../support/postgres.ts";
import { type AuthOptions, type Client, type ClientOptions, connectClient } from "./client.ts";

/** Settings every test gateway has: a key of its own, and no rates in the way of a quick test. */
export const SETTINGS = {
  WORKSPACES_SECRET_KEY: "a secret key for the tests of workspaces",
  WORKSPACES_RATE_REST: "10000",
  WORKSPACES_RATE_PUBLIC: "100000",
  WORKSPACES_RATE_EVENTS: "10000",
  LOG_LEVEL: "fatal",
  PROTOCOLS: "workspaces",
};

export interface Credentials {
  readonly sessionId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly accessTokenExpiredAt: string;
  readonly refreshTokenExpiredAt: string;
}

/** Somebody who is logged in. */
export interface Person {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly token: string;
  readonly credentials: Credentials;
}

/** An answer of a route. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** What was answered as JSON; undefined for text. */
  readonly body: Json;
}

/** Loose JSON, as tests look into it. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export type Json = any;

/** Somebody with a socket in a workspace. */
export interface Member extends Person {
  readonly client: Client;
}

/** Milliseconds after which a test that hangs is ended: a net alone, which nothing is measured by. */
export const HANGS = 120_000;

export const MEDIA = { microphone: true, speakers: true, screen: false, camera: false, speaking: false };
export const PASSWORD = "a password";

/** A gateway that serves workspaces, and everything a test of it needs. */
export class Stage {
  readonly gateway: Pick<TestGateway, "url" | "stop">;
  readonly clock: ManualClock | null;
  readonly clients: Client[] = [];

  constructor(gateway: Pick<TestGateway, "url" | "stop">, clock: ManualClock | null) {
    this.gateway = gateway;
    this.clock = clock;
  }

  get url(): string {
    return this.gateway.url;
  }

  /** A call to a route, with a JSON body if there is one. */
  async call(method: string, path: string, who: Person | string | null, body?: unknown): Promise<Answer> {
    const token = typeof who === "string" ? who : who?.token;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    let json: Json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, body: json };
  }

  get(path: string, who: Person | string | null = null): Promise<Answer> {
    return this.call("GET", path, who);
  }

  post(path: string, who: Person | string | null, body: unknown = {}): Promise<Answer> {
    return this.call("POST", path, who, body);
  }

  delete(path: string, who: Person | string | null, body?: unknown): Promise<Answer> {
    return this.call("DELETE", path, who, body);
  }

  /** What a call that has to succeed answers. */
  async must(answer: Promise<Answer>): Promise<Json> {
    const { status, body, text } = await answer;
    if (status !== 200) throw new Error(`answered ${status}: ${text}`);
    return body ?? text;
  }

  /** Somebody new. */
  async person(name = "Some Body", inviteCode?: string): Promise<Person> {
    const email = `${crypto.randomUUID()}@example.com`;
    const user = { name, email, password: PASSWORD, ...(inviteCode === undefined ? {} : { inviteCode }) };
    const { user: made, credentials } = await this.must(this.post("/signup", null, { user }));
    return { id: made.id, name, email, token: credentials.accessToken, credentials };
  }

  /** A workspace of this person; returns its id. */
  async workspace(owner: Person, name = "A workspace"): Promise<string> {
    return (await this.must(this.post("/workspaces", owner, { name }))).workspace.id;
  }

  /** Somebody new who joined by a code. */
  async member(workspace: string, owner: Person, name?: string): Promise<Person> {
    const { code } = await this.must(this.post(`/workspaces/${workspace}/invites`, owner));
    const person = await this.person(name);
    await this.must(this.post(`/join/${code}`, person));
    return person;
  }

  async role(workspace: string, owner: Person, who: Person, role: "admin" | "user"): Promise<void> {
    await this.must(this.post(`/workspaces/${workspace}/permissions`, owner, { userId: who.id, role }));
  }

  /** A guest who came by a channel's token. */
  async guest(channel: string, host: Person, name = "A Guest"): Promise<Person> {
    const { token } = await this.must(this.post(`/channels/${channel}/invite`, host));
    const { user, credentials } = await this.must(this.post(`/channels/join/${token}`, null, { name }));
    return { id: user.id, name, email: "", token: credentials.accessToken, credentials };
  }

  /** A channel; returns its id. */
  async channel(workspace: string, owner: Person, more: object = {}): Promise<string> {
    const body = { name: "A channel", ...more };
    return (await this.must(this.post(`/workspaces/${workspace}/channels`, owner, body))).channel.id;
  }

  /** A connected client that is not authenticated. */
  async connect(person: Person, options?: ClientOptions): Promise<Client> {
    const client = await connectClient(this.url, person, options);
    this.clients.push(client);
    return client;
  }

  /** An authenticated client that has taken everything up to its `auth-success`. */
  async client(person: Person, workspace: string, options: ClientOptions & AuthOptions = {}): Promise<Client> {
    const { generation, transports, headers, ...auth } = options;
    const client = await this.connect(person, {
      ...(generation && { generation }),
      ...(transports && { transports }),
      ...(headers && { headers }),
    });
    const answer = await client.auth(workspace, auth);
    if (answer.userId === undefined) throw new Error(`not authenticated: ${JSON.stringify(answer)}`);
    return client;
  }

  select(client: Client, channel: string, media: object = MEDIA): Promise<Answer> {
    return this.post(`/channels/${channel}/select?socketId=${client.id}`, client.person, media);
  }

  unselect(client: Client, channel: string): Promise<Answer> {
    return this.post(`/channels/${channel}/unselect?socketId=${client.id}`, client.person);
  }

  status(client: Client, onlineStatus: string, cause = "manually"): Promise<Answer> {
    return this.post(`/user/online-status?socketId=${client.id}`, client.person, { onlineStatus, cause });
  }

  /** The status of a person as a workspace shows it. */
  async seen(workspace: string, by: Person, who: Person): Promise<string | undefined> {
    const { users } = await this.must(this.get(`/workspaces/${workspace}`, by));
    return users.find(({ id }: Json) => id === who.id)?.onlineStatus;
  }

  /** Ids of who is in a channel. */
  async inside(channel: string, by: Person): Promise<string[]> {
    const users = await this.must(this.get(`/channels/${channel}/active-users`, by));
    return users.map(({ userId }: Json) => userId);
  }

  /** Lets time pass, second by second: recurring work runs, and clients answer their pings. */
  async pass(milliseconds: number): Promise<void> {
    if (!this.clock) throw new Error("this stage goes by the real time");
    for (let left = milliseconds; left > 0; left -= 1000) {
      this.clock.advance(Math.min(1000, left));
      await this.idle();
      // A sign of life, without which a client would be taken for dead.
      if (left % 10_000 < 1000)
        await Promise.all(this.clients.filter((c) => c.socket.connected).map((c) => c.settle()));
    }
  }

  /** Waits until work that was started has reached the database and come back. */
  async idle(): Promise<void> {
    await this.get("/status");
  }

  /** Sends the clients away. */
  leave(): void {
    for (const client of this.clients.splice(0)) client.close();
  }

  async stop(options?: { keepData?: boolean }): Promise<void> {
    this.leave();
    const { clock } = this;
    // A drain waits by the clock.
    const pushing = clock ? setInterval(() => clock.advance(50), 1) : undefined;
    await this.gateway.stop(options);
    clearInterval(pushing);
  }

  /** So that `await using` stops it, however a test ends: what runs on would see to the connections of others. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** One database for the gateways of a test file: Postgres where there is one, since an embedded one takes long to start. */
export class Stages {
  #database: Promise<FreshDatabase> | null = null;
  readonly #running: Stage[] = [];

  async start(options: { env?: Record<string, string>; clock?: Clock; dataDir?: string } = {}): Promise<Stage> {
    const databaseUrl = await this.databaseUrl();
    const gateway = await startGateway({
      protocols: [workspaces],
      env: { ...SETTINGS, ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }), ...options.env },
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      ...(options.dataDir === undefined ? {} : { dataDir: options.dataDir }),
    });
    const stage = new Stage(gateway, options.clock instanceof ManualClock ? options.clock : null);
    this.#running.push(stage);
    return stage;
  }

  /** A gateway whose time only the test moves. */
  startTimed(env: Record<string, string> = {}): Promise<Stage> {
    return this.start({ env, clock: new ManualClock(Math.ceil(Date.now() / 1000) * 1000) });
  }

  /** Where the file's database is; undefined for an embedded one. */
  async databaseUrl(): Promise<string | undefined> {
    this.#database ??= freshDatabase(postgresUrl ? "postgres" : "embedded");
    return (await this.#database).databaseUrl;
  }

  /** Stops every gateway and removes the database. */
  async stop(): Promise<void> {
    for (const stage of this.#running.splice(0)) await stage.stop();
    await (await this.#database)?.remove();
  }
}

/**
 * Counts the time in which this process ran. What a busy machine takes from it is no time of ours, so that limits can be
 * held to whatever else goes on.
 */
export class RunningTime {
  /** Milliseconds between two beats; those that were missed are not made up for. */
  static readonly #beat = 10;
  #beats = 0;
  readonly #timer = setInterval(() => this.#beats++, RunningTime.#beat);

  get milliseconds(): number {
    return this.#beats * RunningTime.#beat;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Waits for something that takes the time another process takes. */
export async function eventually<T>(attempt: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const result = await attempt();
    if (result) return result;
    await Bun.sleep(20);
  }
}
