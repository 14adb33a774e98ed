import { eq } from "drizzle-orm";
import { accounts } from "../../../../src/accounts/tables.ts";
import type { Backplane } from "../../../../src/backplane/backplane.ts";
import { openBackplane } from "../../../../src/backplane/open.ts";
import { type Clock, systemClock } from "../../../../src/clock.ts";
import { readSection } from "../../../../src/config/read.ts";
import type { Database } from "../../../../src/database/database.ts";
import { createLog } from "../../../../src/observe/log.ts";
import { createMetrics } from "../../../../src/observe/metrics.ts";
import type { Grant, MediaServerState, MediaServers } from "../../../../src/protocols/workspaces/media/media.ts";
import { openMedia } from "../../../../src/protocols/workspaces/media/open.ts";
import {
  mediaGrants,
  mediaHostings,
  mediaRooms,
  mediaServers,
} from "../../../../src/protocols/workspaces/media/tables.ts";
import { Seal } from "../../../../src/protocols/workspaces/seal.ts";
import { type WorkspacesSettings, workspacesSection } from "../../../../src/protocols/workspaces/settings.ts";
import { channels, connections, users, workspaces } from "../../../../src/protocols/workspaces/tables.ts";
import type { TestJanus } from "../../../support/janus.ts";
import { openFreshDatabase, postgresUrl } from "../../../support/postgres.ts";
import { quietLog } from "../../../support/quiet-log.ts";
import { freshPrefix, testRedis } from "../../../support/redis.ts";

/** What a socket was told of its media server. */
export interface Told {
  readonly socketId: string;
  readonly userId: string;
  readonly data: MediaServerState;
}

/** A person in a conversation. */
export interface Person {
  readonly userId: string;
  readonly socketId: string;
  readonly channelId: string;
  readonly grant: Grant;
}

export type TaskName = "probed" | "restored" | "cleaned up" | "swept";

/** Time that runs, plus what a test adds to it. */
export class ShiftedClock implements Clock {
  #shift = 0;
  now = () => Date.now() + this.#shift;
  elapsed = () => performance.now() + this.#shift;
  after = () => () => {};
  every = () => () => {};
  shift(ms: number): void {
    this.#shift += ms;
  }
}

const secretKey = "a key of the tests alone";
const metrics = createMetrics();

/** Nodes that share media servers: the part that speaks with Janus, on a database and a backplane as in service. */
export class Stage {
  readonly database: Database;
  readonly clock = new ShiftedClock();
  readonly seal = new Seal(secretKey);
  readonly told: Told[] = [];
  /** What the nodes logged. */
  readonly lines: string[] = [];
  readonly nodes: MediaServers[] = [];
  readonly #settings: WorkspacesSettings;
  readonly #backplanes = new Map<MediaServers, Backplane>();
  readonly #redis: { redisUrl?: string; keyPrefix: string };
  readonly #cleanUp: (() => Promise<void>)[];
  readonly #workspaceId = crypto.randomUUID();

  private constructor(
    database: Database,
    settings: WorkspacesSettings,
    redis: { redisUrl?: string; keyPrefix: string },
    cleanUp: (() => Promise<void>)[],
  ) {
    this.database = database;
    this.#settings = settings;
    this.#redis = redis;
    this.#cleanUp = cleanUp;
  }

  static async open(
    servers: readonly TestJanus[],
    options: { nodes?: number; settings?: Record<string, string> } = {},
  ): Promise<Stage> {
    const nodes = options.nodes ?? 1;
    const fresh = await openFreshDatabase(postgresUrl ? "postgres" : "embedded");
    const redis = nodes > 1 ? await testRedis() : null;
    const prefix = redis?.available ? freshPrefix(redis.url) : null;
    const place = prefix && redis ? { redisUrl: redis.url, keyPrefix: prefix.keyPrefix } : { keyPrefix: "unused:" };
    const stage = new Stage(fresh.database, settingsOf(servers, options.settings), place, [
      ...(prefix ? [prefix.remove] : []),
      fresh.remove,
    ]);
    await stage.#furnish();
    for (let node = 0; node < nodes; node++) await stage.start();
    return stage;
  }

  /** Starts a further node, with other servers in its settings if they are given. */
  async start(servers?: readonly TestJanus[]): Promise<MediaServers> {
    const log = createLog({ level: "trace", format: "json", stream: { write: (line) => this.lines.push(line) } });
    // The backplane's own leases follow real time.
    const deps = { clock: systemClock, log: quietLog, metrics: metrics.gateway };
    const backplane = await openBackplane(this.#redis, deps);
    const media = openMedia({
      clock: this.clock,
      log,
      settings: servers ? settingsOf(servers) : this.#settings,
      database: this.database,
      backplane,
      metrics: metrics.of("workspaces"),
      seal: this.seal,
      tell: (socketId, userId, data) => this.told.push({ socketId, userId, data }),
    });
    this.nodes.push(media);
    this.#backplanes.set(media, backplane);
    return media;
  }

  /** A node is gone without a word: what it keeps with Janus stays there. */
  async abandon(node: MediaServers): Promise<void> {
    this.nodes.splice(this.nodes.indexOf(node), 1);
    await this.#backplanes.get(node)?.close();
    this.#backplanes.delete(node);
  }

  /** Runs recurring work of nodes, all of them unless one is named. */
  async run(names: readonly TaskName[], node?: MediaServers): Promise<void> {
    for (const name of names) {
      const nodes = node ? [node] : this.nodes;
      await Promise.all(nodes.map(({ tasks }) => tasks.find((task) => task.name.endsWith(name))?.run()));
    }
  }

  async channel(): Promise<string> {
    const id = crypto.randomUUID();
    const moment = new Date();
    await this.database.orm.insert(channels).values({
      id,
      workspaceId: this.#workspaceId,
      creatorId: crypto.randomUUID(),
      name: "a channel",
      isPrivate: false,
      isTemporary: false,
      createdAt: moment,
      updatedAt: moment,
    });
    return id;
  }

  async user(): Promise<string> {
    const id = crypto.randomUUID();
    const moment = new Date();
    await this.database.orm.insert(accounts).values({ id, passwordHash: "none", createdAt: moment });
    await this.database.orm.insert(users).values({ id, createdAt: moment, updatedAt: moment });
    return id;
  }

  /** Lets somebody, by default somebody new, into a conversation, as a select does: admits them and stores the grant with their connection. */
  async enter(channelId: string, node = this.node, user?: string): Promise<Person> {
    const userId = user ?? (await this.user());
    const socketId = crypto.randomUUID();
    const grant = await node.admit({ channelId, userId, connection: socketId });
    await this.database.orm.insert(connections).values({
      id: socketId,
      userId,
      workspaceId: this.#workspaceId,
      sessionId: crypto.randomUUID(),
      node: "a node",
      channelId,
      mediaGrant: grant.id,
    });
    return { userId, socketId, channelId, grant };
  }

  /** Ends somebody's connection and gives its grant back. */
  async leave({ socketId, grant }: Person, node = this.node): Promise<void> {
    await this.forget(socketId);
    node.leave(grant.id);
    await this.ended(grant);
  }

  /** Removes a connection without a word to media. */
  async forget(socketId: string): Promise<void> {
    await this.database.orm.delete(connections).where(eq(connections.id, socketId));
  }

  async deleteChannel(channelId: string): Promise<void> {
    await this.database.orm.delete(channels).where(eq(channels.id, channelId));
  }

  /** Resolves when the tokens of a grant are removed. */
  async ended({ id }: Grant): Promise<void> {
    while ((await this.grants()).some((row) => row.id === id)) await Bun.sleep(10);
    await this.settled();
  }

  /** Resolves when all nodes hold a server to be down. */
  async down({ url }: TestJanus): Promise<void> {
    const isUp = async () => {
      const [row] = await this.database.orm.select().from(mediaServers).where(eq(mediaServers.url, url));
      return row?.downSince === null;
    };
    while (await isUp()) await Bun.sleep(10);
  }

  /** Resolves when nothing of a channel is on record with any server, which recurring work sees to. */
  async empty(channelId: string): Promise<void> {
    const its = (row: { channelId: string }) => row.channelId === channelId;
    while ((await this.grants()).some(its) || (await this.hostings()).some(its)) {
      await this.run(["cleaned up"]);
      await Bun.sleep(10);
    }
  }

  /** Resolves when no node is at removing anything. */
  async settled(): Promise<void> {
    const leased = ({ leasedUntil }: { leasedUntil: Date | null }) => (leasedUntil?.getTime() ?? 0) > this.clock.now();
    while ((await this.grants()).some(leased) || (await this.hostings()).some(leased)) await Bun.sleep(10);
  }

  /** Rows of tokens, those of grants that ended included. */
  grants() {
    return this.database.orm.select().from(mediaGrants);
  }

  /** The number of a channel's rooms and their secret. */
  async roomOf(channelId: string): Promise<{ room: number; secret: string }> {
    const [row] = await this.database.orm.select().from(mediaRooms).where(eq(mediaRooms.channelId, channelId));
    if (!row) throw new Error("the channel never had rooms");
    return { room: row.room, secret: this.seal.open(row.secret) };
  }

  /** Rows of rooms on servers. */
  hostings() {
    return this.database.orm.select().from(mediaHostings);
  }

  get node(): MediaServers {
    const [node] = this.nodes;
    if (!node) throw new Error("no node is left");
    return node;
  }

  async close(): Promise<void> {
    for (const node of this.nodes) {
      await node.close();
      await this.#backplanes.get(node)?.close();
    }
    for (const remove of this.#cleanUp) await remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #furnish(): Promise<void> {
    const moment = new Date();
    await this.database.orm.insert(workspaces).values({
      id: this.#workspaceId,
      name: "a workspace",
      creatorId: crypto.randomUUID(),
      createdAt: moment,
      updatedAt: moment,
    });
  }
}

/** Settings for these servers as an operator writes them. */
export function environmentOf(servers: readonly TestJanus[]): Record<string, string> {
  const list = (pick: (server: TestJanus) => string) => servers.map(pick).join(",");
  const [first] = servers;
  if (!first) return {};
  return {
    // Whatever the machine is at: a server that runs is not taken for one that is away.
    WORKSPACES_JANUS_TIMEOUT: "60",
    WORKSPACES_JANUS_URL: list(({ url }) => url),
    WORKSPACES_JANUS_ADMIN_URL: list(({ adminUrl }) => adminUrl),
    WORKSPACES_JANUS_PUBLIC_URL: list(({ url }) => url),
    WORKSPACES_JANUS_PUBLIC_WS_URL: list(({ url }) => url.replace("http", "ws")),
    WORKSPACES_JANUS_ADMIN_SECRET: first.adminSecret,
    WORKSPACES_JANUS_AUDIOBRIDGE_KEY: first.keys.audiobridge,
    WORKSPACES_JANUS_VIDEOROOM_KEY: first.keys.videoroom,
    WORKSPACES_JANUS_TEXTROOM_KEY: first.keys.textroom,
  };
}

/** The same as values. */
export function settingsOf(servers: readonly TestJanus[], more: Record<string, string> = {}): WorkspacesSettings {
  const environment = { WORKSPACES_SECRET_KEY: secretKey, ...environmentOf(servers), ...more };
  const { values, faults } = readSection(workspacesSection, environment);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return values as WorkspacesSettings;
}
