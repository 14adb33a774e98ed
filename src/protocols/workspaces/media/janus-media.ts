import type { Task } from "../../protocol.ts";
import type { WorkspacesSettings } from "../settings.ts";
import { Admission } from "./admission.ts";
import { CleanUp } from "./clean-up.ts";
import { connectionOptions } from "./connection-options.ts";
import { Grants } from "./grants.ts";
import { Hostings } from "./hostings.ts";
import { type JanusOptions, JanusServer } from "./janus/server.ts";
import {
  type ConnectionOptions,
  type Grant,
  type MediaParts,
  type MediaServers,
  MediaUnavailable,
  noOptions,
  type Seat,
} from "./media.ts";
import { NodeTokens } from "./node-tokens.ts";
import { randomToken } from "./random.ts";
import { Restoration } from "./restoration.ts";
import { RoomNumbers } from "./room-numbers.ts";
import { ServerStates } from "./server-states.ts";
import { Watch } from "./watch.ts";

/** Milliseconds between probes (W-10.21), and between tries of what failed (W-10.13). */
const PROBE_EVERY = 5_000;
/** Milliseconds between looks for conversations that are to be restored, by this node or another (W-10.23). */
const RESTORE_EVERY = 2_000;
/** Milliseconds between sweeps (W-10.13). */
const SWEEP_EVERY = 60_000;
/** Milliseconds that what is under way may take when the gateway stops; the rest is on record for others. */
const FAREWELL = 3_000;

/** Media by Janus servers. What is true of them stands in the database, so that any node can go on where another ended. */
export class JanusMedia implements MediaServers {
  readonly enabled = true;
  readonly tasks: readonly Task[];
  readonly #parts: MediaParts;
  readonly #servers: ReadonlyMap<string, JanusServer>;
  readonly #hostings: Hostings;
  readonly #grants: Grants;
  readonly #nodeTokens: NodeTokens;
  readonly #watch: Watch;
  readonly #cleanUp: CleanUp;
  readonly #admission: Admission;

  constructor(parts: MediaParts) {
    const { settings, backplane, metrics } = parts;
    this.#parts = parts;
    this.#nodeTokens = new NodeTokens(parts);
    this.#servers = openServers(settings, (server, token) =>
      this.#nodeTokens.record({ server, node: backplane.node, token }),
    );
    const states = new ServerStates(parts, [...this.#servers.keys()]);
    this.#hostings = new Hostings(parts);
    this.#grants = new Grants(parts);
    const shared = { ...parts, servers: this.#servers, states, hostings: this.#hostings, grants: this.#grants };
    this.#watch = new Watch(shared);
    const away = (server: JanusServer, reason: unknown) => this.#watch.away(server, reason);
    const restoration = new Restoration({ ...shared, away, failover: settings.janusFailover });
    this.#cleanUp = new CleanUp({ ...shared, away, nodeTokens: this.#nodeTokens });
    const leave = (grant: string) => this.leave(grant);
    const lost = restoration.lost.bind(restoration);
    this.#admission = new Admission({ ...shared, away, leave, lost, numbers: new RoomNumbers(parts) });
    this.tasks = [
      { name: "media servers are probed", every: PROBE_EVERY, run: () => this.#watch.run(restoration) },
      { name: "media is restored", every: RESTORE_EVERY, run: () => restoration.run() },
      { name: "media is cleaned up", every: PROBE_EVERY, run: () => this.#cleanUp.retry() },
      { name: "media is swept", every: SWEEP_EVERY, run: () => this.#cleanUp.sweep() },
    ];
    metrics.gauge("media_servers_up", "Media servers that answered this node's last probe.", () => this.#watch.up);
  }

  async admit(seat: Seat): Promise<Grant> {
    const { metrics, log } = this.#parts;
    const count = (result: string) => {
      metrics.counter("media_admissions", "Connections that asked for media.", { result }).value++;
    };
    try {
      const grant = await this.#admission.admit(seat);
      count("admitted");
      return grant;
    } catch (error) {
      count("refused");
      // Without a cause it is known already: a server is down.
      if (error instanceof MediaUnavailable && error.cause !== undefined) {
        log.warn({ error: error.cause }, "media could not be prepared");
      }
      throw error;
    }
  }

  async options(grant: string | null): Promise<ConnectionOptions> {
    const pair = grant === null ? null : await this.#grants.find(grant);
    const server = pair && this.#servers.get(pair.server);
    const hosting = pair && (await this.#hostings.find(pair.channelId, pair.server));
    return server && hosting ? connectionOptions(server.addresses, hosting, pair) : noOptions;
  }

  leave(grant: string | null): void {
    if (grant !== null) this.#cleanUp.leave(grant, false);
  }

  expel(grant: string | null, _userId: string): void {
    if (grant !== null) this.#cleanUp.leave(grant, true);
  }

  async close(): Promise<void> {
    const { backplane, clock, log } = this.#parts;
    const late = Promise.withResolvers<void>();
    const cancel = clock.after(FAREWELL, late.resolve);
    await Promise.race([Promise.all([this.#cleanUp.idle(), this.#watch.idle()]), late.promise]);
    cancel();
    const closings = [...this.#servers].map(async ([url, server]) => {
      await server.close();
      await this.#nodeTokens.forget({ server: url, node: backplane.node });
    });
    for (const result of await Promise.allSettled(closings)) {
      // Others will take the token back when this node's lease has ended.
      if (result.status === "rejected") log.debug({ error: result.reason }, "a media server was left without goodbye");
    }
  }
}

/** By the URL of their HTTP API. `record` notes a node's token before a server hears of it. */
function openServers(
  settings: WorkspacesSettings,
  record: (server: string, token: string) => Promise<void>,
): ReadonlyMap<string, JanusServer> {
  const options: JanusOptions = {
    adminSecret: settings.janusAdminSecret ?? "",
    keys: {
      audiobridge: settings.janusAudiobridgeKey ?? "",
      videoroom: settings.janusVideoroomKey ?? "",
      textroom: settings.janusTextroomKey ?? "",
    },
    timeout: settings.janusTimeout,
  };
  const servers = settings.janusUrl.map((url, index) => {
    const addresses = {
      url: withoutSlash(url),
      adminUrl: withoutSlash(settings.janusAdminUrl[index] ?? ""),
      publicUrl: settings.janusPublicUrl[index] ?? "",
      publicWsUrl: settings.janusPublicWsUrl[index] ?? "",
    };
    const token = randomToken();
    return [addresses.url, new JanusServer(addresses, options, token, () => record(addresses.url, token))] as const;
  });
  return new Map(servers);
}

/** Sessions and handles are paths below it. */
function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}
