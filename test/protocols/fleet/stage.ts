import { setDefaultTimeout } from "bun:test";
import { randomBytes } from "node:crypto";
import { fleet } from "../../../src/protocols/fleet/protocol.ts";
import type { Protocol, Task } from "../../../src/protocols/protocol.ts";
import { ManualClock } from "../../support/clock.ts";
import type { TestGateway } from "../../support/gateway.ts";
import type { FreshDatabase } from "../../support/postgres.ts";
import { StageSet } from "../../support/stages.ts";
import { Socket } from "./socket.ts";

/** Milliseconds after which a test counts as hung: a net, which no noise on a busy machine may reach. */
const HUNG = 300_000;

export const ADMIN_TOKEN = "an-admin-token-for-the-tests-of-the-fleet";
export const TRACCAR_SECRET = "a-secret-of-Traccar-for-the-tests";

/** What a stage and a gateway in a process of its own need of the environment. */
export const environment = {
  FLEET_ADMIN_TOKEN: ADMIN_TOKEN,
  FLEET_TRACCAR_SECRET: TRACCAR_SECRET,
  FLEET_REST_PER_SECOND: "1000",
  FLEET_BATCH_MS: "1",
};

/** A unit as the test made it. */
export interface TestUnit {
  readonly uid: number;
  readonly vid: number;
  readonly unique_id: string;
  readonly key: string;
  readonly pnd_key: string;
}

/** A user as the test made it. */
export interface TestUser {
  readonly user_id: number;
  readonly login: string;
  readonly password: string;
  /** Value of an `Authorization` header. */
  readonly basic: string;
}

/** An HTTP answer with its JSON body, where it has one. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: {
    readonly error: boolean;
    readonly code: number;
    readonly message: string;
    readonly data: never;
  } & Readonly<Record<string, unknown>>;
}

/** Calls on a node, wherever it runs. */
export class Node {
  readonly url: string;
  readonly internalUrl: string;
  readonly sockets: Socket[] = [];

  constructor(url: string, internalUrl: string) {
    this.url = url;
    this.internalUrl = internalUrl;
  }

  async call(method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const isJson = body !== undefined && typeof body !== "string" && !(body instanceof FormData);
    const response = await fetch(url, {
      method,
      headers: { ...(isJson ? { "content-type": "application/json" } : {}), ...headers },
      ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as string) }),
    });
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text };
    return { ...answer, body: text.startsWith("{") ? JSON.parse(text) : {} } as Answer;
  }

  admin(method: string, path: string, body?: unknown, token = ADMIN_TOKEN): Promise<Answer> {
    return this.call(method, `${this.internalUrl}/admin/fleet${path}`, body, { authorization: `Bearer ${token}` });
  }

  rest(path: string, user: TestUser, body: unknown = {}): Promise<Answer> {
    return this.call("POST", `${this.url}/ws/${path}`, body, { authorization: user.basic });
  }

  /** A unit; keys are random unless given. */
  async unit(given: Record<string, unknown> = {}): Promise<TestUnit> {
    const unique_id = randomBytes(8).toString("hex");
    const { status, body } = await this.admin("POST", "/units", { unique_id, ...given });
    if (status !== 201) throw new Error(`no unit: ${status} ${JSON.stringify(body)}`);
    return body.data as TestUnit;
  }

  /** A user with all rights to some units. */
  async user(...units: readonly { readonly uid: number }[]): Promise<TestUser> {
    const [login, password] = [`u${randomBytes(6).toString("hex")}`, "secret"];
    const { body } = await this.admin("POST", "/users", { login, password });
    const { user_id } = body.data as { user_id: number };
    await this.entitle(
      user_id,
      units.map(({ uid }) => ({ uid })),
    );
    return { user_id, login, password, basic: `Basic ${btoa(`${login}:${password}`)}` };
  }

  async entitle(
    user: number,
    units: readonly { uid: number; rights?: readonly string[] }[],
    method = "PUT",
  ): Promise<Answer> {
    return this.admin(method, `/users/${user}/units`, { units });
  }

  async sessid(user: TestUser): Promise<string> {
    const { body } = await this.rest("websocketAuth", user);
    return (body.data as { SESSID: string }).SESSID;
  }

  /** A socket that is not authenticated; closed when the stage is. */
  async socket(path = "/fleet/ws", headers: Record<string, string> = {}): Promise<Socket> {
    const socket = new Socket(this.url + path, headers);
    this.sockets.push(socket);
    return socket.opened();
  }

  /** A client of a user, authenticated. */
  async watcher(user: TestUser, { sessid = "", path = "/fleet/ws", snapshot = false } = {}): Promise<Socket> {
    const SESSID = sessid || (await this.sessid(user));
    const socket = await this.socket(path);
    socket.send({ type: "auth", query: { user_id: user.user_id, SESSID, ...(snapshot ? { snapshot } : {}) } });
    const answer = await socket.text();
    if (answer !== '{"params":{"type":"auth","success":true}}') throw new Error(`not authenticated: ${answer}`);
    return socket;
  }

  /** A device's link, welcome taken. */
  async device(unit: TestUnit, role: "tracker" | "pnd" = "tracker"): Promise<Socket> {
    const socket = await this.socket("/fleet/device");
    socket.send({ t: "hello", unit: unit.unique_id, role, key: role === "tracker" ? unit.key : unit.pnd_key });
    const welcome = await socket.text();
    if (welcome !== `{"t":"welcome","uid":${unit.uid}}`) throw new Error(`not welcome: ${welcome}`);
    return socket;
  }

  traccar(kind: "positions" | "events", body: unknown, secret = TRACCAR_SECRET): Promise<Answer> {
    return this.call("POST", `${this.url}/fleet/ingress/traccar/${kind}`, body, { authorization: `Bearer ${secret}` });
  }

  osmand(parameters: Record<string, string>): Promise<Answer> {
    return this.call("GET", `${this.url}/fleet/ingress/osmand?${new URLSearchParams(parameters)}`);
  }

  leave(): void {
    for (const socket of this.sockets.splice(0)) socket.close();
  }
}

/** The recurring work of a gateway, which a test can wait for. */
class Work {
  readonly #running = new Set<Promise<void>>();

  /** The protocol, its tasks followed. */
  of(protocol: Protocol): Protocol {
    return {
      ...protocol,
      build: async (core) => {
        const surface = await protocol.build(core);
        const tasks = (surface.tasks ?? []).map((task) => ({ ...task, run: () => this.#follow(task) }));
        return { ...surface, tasks };
      },
    };
  }

  /** Resolves when none of it is under way. */
  async done(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  async #follow(task: Task): Promise<void> {
    const running = (async () => task.run())();
    this.#running.add(running);
    await running.finally(() => this.#running.delete(running));
  }
}

/** A gateway in this process that serves the fleet. Its time stands still unless the test moves it. */
export class Stage extends Node {
  readonly clock: ManualClock;
  readonly #gateway: TestGateway;
  readonly #work: Work;

  constructor(gateway: TestGateway, clock: ManualClock, work: Work) {
    super(gateway.url, gateway.internalUrl);
    this.clock = clock;
    this.#gateway = gateway;
    this.#work = work;
  }

  /** Lets seconds pass one by one, each when all that the one before has set off is done. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1_000);
      await this.#work.done();
    }
  }

  /** Swaps the code, as `bun --hot` does. */
  reload(): Promise<void> {
    return this.#gateway.gateway.reload([this.#work.of(fleet)]);
  }

  async stop(): Promise<void> {
    this.leave();
    await this.#gateway.stop();
  }

  /** Stops it when the test that has it is over, however that ends. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/**
 * The stages of a test file. Each has a time of its own, which stands still, unless it is given one that it shares: what
 * a machine is busy with uses up no time limit, and no stage interferes with what another does in the same database.
 */
export class Stages extends StageSet<Stage> {
  constructor() {
    super();
    // Counts for the file that is being loaded; this module is loaded once for all of them.
    setDefaultTimeout(HUNG);
  }

  start(options: { env?: Record<string, string>; clock?: ManualClock } = {}): Promise<Stage> {
    const { env, clock = new ManualClock(Date.now()) } = options;
    const work = new Work();
    return this.launch(
      { protocols: [work.of(fleet)], clock, env: { ...environment, ...env } },
      (gateway) => new Stage(gateway, clock, work),
    );
  }
}

export const urlOf = ({ databaseUrl }: FreshDatabase): Record<string, string> =>
  databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl };

/** Waits for something that takes the time another process takes. */
export async function eventually<T>(attempt: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const result = await attempt();
    if (result) return result;
    await Bun.sleep(20);
  }
}

/** Waits for what the passing of time brings about: time goes by meanwhile, tenfold. */
export async function asTimePasses<T>(clock: ManualClock, awaited: Promise<T>): Promise<T> {
  const passing = setInterval(() => clock.advance(100), 10);
  try {
    return await awaited;
  } finally {
    clearInterval(passing);
  }
}

export const HEX24 = /^[0-9a-f]{24}$/;
export const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
