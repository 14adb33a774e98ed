import { type GatewayOptions, startGateway, type TestGateway } from "./gateway.ts";
import { type FreshDatabase, freshDatabase, postgresUrl } from "./postgres.ts";

/**
 * The stages of a test file: gateways on one database, with what a protocol's tests need around each. The database is
 * Postgres where there is one, since an embedded one takes long to start.
 */
export abstract class StageSet<Stage extends { stop(): Promise<void> }> {
  #database: Promise<FreshDatabase> | null = null;
  readonly #running: Stage[] = [];

  /** Starts a gateway on the file's database and puts it on a stage. */
  protected async launch(options: GatewayOptions, onStage: (gateway: TestGateway) => Stage): Promise<Stage> {
    const { databaseUrl } = await this.database();
    const database: Record<string, string> = databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl };
    const env = { LOG_LEVEL: process.env.TEST_LOG ?? "fatal", ...database, ...options.env };
    const stage = onStage(await startGateway({ ...options, env }));
    this.#running.push(stage);
    return stage;
  }

  /** The file's database. */
  database(): Promise<FreshDatabase> {
    this.#database ??= freshDatabase(postgresUrl ? "postgres" : "embedded");
    return this.#database;
  }

  /** Where the file's database is; undefined for an embedded one. */
  async databaseUrl(): Promise<string | undefined> {
    return (await this.database()).databaseUrl;
  }

  /** Stops every gateway and removes the database. */
  async stop(): Promise<void> {
    try {
      for (const stage of this.#running.splice(0)) await stage.stop();
    } finally {
      await (await this.#database)?.remove();
    }
  }
}
