import { and, eq, inArray, isNotNull, isNull, sql } from "drizzle-orm";
import type { Clock } from "../../../clock.ts";
import type { Database, Orm } from "../../../database/database.ts";
import { mediaGrants, mediaHostings, mediaServers } from "./tables.ts";

/** What all nodes hold of one server. */
export interface ServerState {
  readonly url: string;
  readonly downSince: Date | null;
}

/** Which servers are up, as all nodes agree on it, and how much they carry. */
export class ServerStates {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #urls: readonly string[];
  #declared: Promise<unknown> | null = null;

  /** @param urls the servers of the settings; the database may know others */
  constructor(parts: { database: Database; clock: Clock }, urls: readonly string[]) {
    this.#database = parts.database;
    this.#clock = parts.clock;
    this.#urls = urls;
  }

  /** The servers of the settings. */
  async read(): Promise<ServerState[]> {
    await this.declare();
    return this.#database.orm
      .select()
      .from(mediaServers)
      .where(inArray(mediaServers.url, [...this.#urls]));
  }

  /** Makes the servers of the settings known to all; a server that never was is taken to be up. */
  async declare(): Promise<void> {
    this.#declared ??= this.#database.orm
      .insert(mediaServers)
      .values(this.#urls.map((url) => ({ url })))
      .onConflictDoNothing();
    const declared = this.#declared;
    await declared.catch((error: unknown) => {
      if (this.#declared === declared) this.#declared = null;
      throw error;
    });
  }

  async isUp(url: string, orm: Orm = this.#database.orm): Promise<boolean> {
    const [row] = await orm.select().from(mediaServers).where(eq(mediaServers.url, url));
    return row?.downSince === null;
  }

  /** The URLs of those that are up. */
  async up(): Promise<string[]> {
    return (await this.read()).filter(({ downSince }) => downSince === null).map(({ url }) => url);
  }

  /** True for the one caller by whom a server that was up goes down. What it hosts is stale from then on. */
  markDown(url: string): Promise<boolean> {
    return this.#database.orm.transaction(async (tx) => {
      const wasUp = and(eq(mediaServers.url, url), isNull(mediaServers.downSince));
      const downSince = new Date(this.#clock.now());
      const marked = await tx.update(mediaServers).set({ downSince }).where(wasUp).returning();
      if (marked.length === 0) return false;
      const hosted = and(eq(mediaHostings.server, url), eq(mediaHostings.state, "open"));
      await tx.update(mediaHostings).set({ stale: true }).where(hosted);
      return true;
    });
  }

  /** True for the one caller by whom a server that was down comes up. */
  async markUp(url: string): Promise<boolean> {
    const wasDown = and(eq(mediaServers.url, url), isNotNull(mediaServers.downSince));
    const marked = await this.#database.orm.update(mediaServers).set({ downSince: null }).where(wasDown).returning();
    return marked.length > 0;
  }

  /**
   * The server, among those up, with the fewest conversations, then the fewest participants (W-10.26); undefined when
   * none is up. Others that choose wait for the end of the transaction, so that each choice counts those before.
   */
  async choose(tx: Orm): Promise<string | undefined> {
    const all = await tx.select().from(mediaServers).orderBy(mediaServers.url).for("update");
    const up = all.filter(({ url, downSince }) => downSince === null && this.#urls.includes(url));
    if (up.length < 2) return up[0]?.url;
    const conversations = sql`(select count(*) from ${mediaHostings}
      where ${mediaHostings.server} = ${mediaServers.url} and ${mediaHostings.state} = 'open')`;
    const participants = sql`(select count(*) from ${mediaGrants}
      where ${mediaGrants.server} = ${mediaServers.url} and ${mediaGrants.endedAt} is null)`;
    const urls = up.map(({ url }) => url);
    const [least] = await tx
      .select({ url: mediaServers.url })
      .from(mediaServers)
      .where(inArray(mediaServers.url, urls))
      .orderBy(conversations, participants, mediaServers.url)
      .limit(1);
    return least?.url;
  }
}
