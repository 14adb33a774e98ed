import { join } from "node:path";
import postgres from "postgres";
import { peersFolder } from "../peer.ts";
import { BenchServer } from "../server.ts";
import type { Stores } from "../stores.ts";
import type { Usage } from "../usage.ts";
import type { FleetServer, WatcherLogin } from "./server.ts";

const root = join(import.meta.dir, "../../..");

/** The floor under a fleet (peers/bun-fleet.mjs), on the gateway's own tables. */
export class FleetFloor implements FleetServer {
  readonly sql: postgres.Sql;
  readonly #server: BenchServer;

  private constructor(server: BenchServer, sql: postgres.Sql) {
    this.#server = server;
    this.sql = sql;
  }

  static async start(stores: Stores): Promise<FleetFloor> {
    const env = { PATH: process.env.PATH, PROTOCOLS: "fleet", DATABASE_URL: await stores.database() };
    const migrated = Bun.spawnSync([process.execPath, join(root, "src/main.ts"), "migrate"], { env });
    if (!migrated.success) throw new Error(`no tables: ${migrated.stderr}`);
    const command = [process.execPath, join(peersFolder, "bun-fleet.mjs")];
    const server = await BenchServer.start({ command, env: { DATABASE_URL: env.DATABASE_URL } });
    return new FleetFloor(server, postgres(env.DATABASE_URL, { max: 1, onnotice: () => {} }));
  }

  get port(): number {
    return this.#server.port;
  }

  usage(): Usage {
    return this.#server.usage();
  }

  async units(count: number): Promise<number[]> {
    return Array.from({ length: count }, (_, index) => index + 1);
  }

  async watcher(number: number, uids: readonly number[]): Promise<WatcherLogin> {
    return { user_id: number, SESSID: uids.join() };
  }

  async stop(): Promise<void> {
    await this.sql.end();
    await this.#server.stop();
  }
}
