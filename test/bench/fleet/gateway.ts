import { join } from "node:path";
import postgres from "postgres";
import * as v from "valibot";
import { linesOf } from "../lines.ts";
import type { Stores } from "../stores.ts";
import { type Usage, usageOf } from "../usage.ts";
import type { FleetServer, WatcherLogin } from "./server.ts";

const root = join(import.meta.dir, "../../..");
const ADMIN_TOKEN = "admin-token-of-the-bench";

const Listening = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ msg: v.literal("listening"), url: v.string(), internal: v.string() }),
);

/** A gateway that serves the fleet, in a process and on a database of its own. */
export class FleetGateway implements FleetServer {
  readonly #url: string;
  readonly #internal: string;
  readonly #process: Bun.Subprocess;
  readonly #sql: postgres.Sql;

  private constructor(url: string, internal: string, process: Bun.Subprocess, sql: postgres.Sql) {
    this.#url = url;
    this.#internal = internal;
    this.#process = process;
    this.#sql = sql;
  }

  static async start(stores: Stores): Promise<FleetGateway> {
    const databaseUrl = await stores.database();
    const process = Bun.spawn([globalThis.process.execPath, join(root, "src/main.ts"), "serve"], {
      stdout: "pipe",
      stderr: "inherit",
      env: {
        ...{ PATH: Bun.env.PATH, HOST: "127.0.0.1", PORT: "0", INTERNAL_PORT: "0", LOG_FORMAT: "json" },
        ...{ PROTOCOLS: "fleet", DATABASE_URL: databaseUrl, DATA_DIR: await stores.folder(), ACCEPT_RATE: "0" },
        ...{ FLEET_ADMIN_TOKEN: ADMIN_TOKEN, FLEET_MAX_OUTGOING_BYTES: "4194304" },
      },
    });
    // Read to the end: a gateway whose log nobody reads would be another one.
    const lines = linesOf(process.stdout);
    for (let line = await lines.next(); !line.done; line = await lines.next()) {
      const listening = v.safeParse(Listening, line.value);
      if (!listening.success) continue;
      void (async () => {
        for (let more = await lines.next(); !more.done; more = await lines.next());
      })();
      const { url, internal } = listening.output;
      return new FleetGateway(url, internal, process, postgres(databaseUrl, { max: 1, onnotice: () => {} }));
    }
    throw new Error("the gateway ended before it listened");
  }

  get port(): number {
    return Number(new URL(this.#url).port);
  }

  usage(): Usage {
    return usageOf(this.#process.pid);
  }

  get sql(): postgres.Sql {
    return this.#sql;
  }

  /** In one statement; a fleet of them by REST would take minutes. */
  async units(count: number): Promise<number[]> {
    const rows = await this.#sql`
      insert into fleet.units (unique_id, vid, created_at)
      select 'load-' || n, n, now() from generate_series(1, ${count}) n returning uid`;
    await this.#sql`insert into fleet.unit_state (uid) select uid from fleet.units on conflict do nothing`;
    return rows.map(({ uid }) => Number(uid));
  }

  async watcher(number: number, uids: readonly number[]): Promise<WatcherLogin> {
    const credentials = { login: `watcher${number}`, password: "secret" };
    const { user_id } = await this.#admin<{ user_id: number }>("POST", "/users", credentials);
    await this.#admin("PUT", `/users/${user_id}/units`, { units: uids.map((uid) => ({ uid })) });
    const authorization = `Basic ${btoa(`${credentials.login}:${credentials.password}`)}`;
    const response = await fetch(`${this.#url}/ws/websocketAuth`, { method: "POST", headers: { authorization } });
    return ((await response.json()) as { data: WatcherLogin }).data;
  }

  async stop(): Promise<void> {
    await this.#sql.end();
    this.#process.kill();
    await this.#process.exited;
  }

  async #admin<T>(method: string, path: string, body: object): Promise<T> {
    const response = await fetch(`${this.#internal}/admin/fleet${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}`);
    return ((await response.json()) as { data: T }).data;
  }
}
