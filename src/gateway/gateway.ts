import type { Accounts } from "../accounts/accounts.ts";
import { createAccounts } from "../accounts/store.ts";
import type { Backplane } from "../backplane/backplane.ts";
import { openBackplane } from "../backplane/open.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Loaded } from "../config/load.ts";
import type { Database } from "../database/database.ts";
import { migrate } from "../database/migrate.ts";
import { openDatabase } from "../database/open.ts";
import { trustedProxies } from "../http/address.ts";
import { createHealth, type Health } from "../observe/health.ts";
import type { Log } from "../observe/log.ts";
import { createMetrics, type Metrics } from "../observe/metrics.ts";
import { maxDescriptors } from "../observe/process.ts";
import type { Protocol } from "../protocols/protocol.ts";
import { drainSockets } from "./drain.ts";
import { InternalListener } from "./internal.ts";
import { ConnectionLimits } from "./limits.ts";
import { Listener } from "./listener.ts";
import { Patch } from "./patch.ts";
import { TaskRunner } from "./tasks.ts";

/** Milliseconds between two purges of expired logins. */
const PURGE_LOGINS = 60 * 60 * 1000;

/** What a gateway is made of. */
export interface GatewayOptions {
  readonly settings: Loaded;
  readonly protocols: readonly Protocol[];
  readonly log: Log;
  readonly clock?: Clock;
}

/** One running node: its stores, its two ports and the protocols patched into them. */
export class Gateway {
  readonly #options: GatewayOptions & { clock: Clock };
  readonly #database: Database;
  readonly #backplane: Backplane;
  readonly #listener: Listener;
  readonly #internal: InternalListener;
  readonly #health: Health;
  readonly #patches = new Map<string, Patch>();
  readonly #core: {
    clock: Clock;
    metrics: Metrics;
    database: Database;
    backplane: Backplane;
    accounts: Accounts;
    limits: ConnectionLimits;
  };
  readonly #upkeep: TaskRunner;
  /** The protocols as they were declared last. */
  #declared: readonly Protocol[] = [];
  /** The end of the last reload: there is one at a time. */
  #reloading: Promise<void> = Promise.resolve();
  #stopping: Promise<number> | null = null;

  private constructor(
    options: GatewayOptions & { clock: Clock },
    { metrics, database, backplane }: { metrics: Metrics; database: Database; backplane: Backplane },
  ) {
    const { log, clock } = options;
    const settings = options.settings.gateway;
    const limits = new ConnectionLimits(settings, maxDescriptors(), clock);
    this.#options = options;
    this.#database = database;
    this.#backplane = backplane;
    this.#core = { clock, metrics, database, backplane, accounts: createAccounts(database, { clock }), limits };
    this.#upkeep = new TaskRunner(clock, log);
    this.#listener = new Listener({
      limits,
      log,
      proxies: trustedProxies(settings.trustedProxies),
      refused: (reason) => {
        metrics.gateway.counter("refused_connections", "New sockets turned away.", { reason }).value++;
      },
    });
    metrics.gateway.gauge("open_connections", "Sockets of this node.", () => limits.open);
    this.#health = this.#checks(metrics);
    this.#internal = new InternalListener({ health: this.#health, metrics, log });
  }

  /**
   * Opens the stores, brings the schema up to date, builds the protocols and opens both ports, in this order: a gateway
   * that listens can serve. Whatever was opened is closed again when a later step fails.
   */
  static async start(given: GatewayOptions): Promise<Gateway> {
    const options = { clock: systemClock, ...given };
    const { log, clock } = options;
    const settings = options.settings.gateway;
    const metrics = createMetrics();
    const stores = await Promise.allSettled([
      openDatabase(settings, { log }),
      openBackplane(settings, { log, clock, metrics: metrics.gateway }),
    ]);
    const [database, backplane] = stores;
    let gateway: Gateway | null = null;
    try {
      if (database.status === "rejected") throw database.reason;
      if (backplane.status === "rejected") throw backplane.reason;
      await migrate(database.value, log);
      gateway = new Gateway(options, { metrics, database: database.value, backplane: backplane.value });
      await gateway.reload(options.protocols);
      openPort(gateway.#internal, settings.internalHost, settings.internalPort, "INTERNAL_HOST and INTERNAL_PORT");
      openPort(gateway.#listener, settings.host, settings.port, "HOST and PORT");
      const { sessions } = gateway.#core.accounts;
      const purge = async () => void (await sessions.purgeExpired());
      gateway.#upkeep.start([{ name: "purge expired logins", every: PURGE_LOGINS, run: purge }]);
      return gateway;
    } catch (error) {
      const opened = stores.flatMap((store) => (store.status === "fulfilled" ? [store.value] : []));
      await Promise.allSettled(gateway ? [gateway.#close()] : opened.map((store) => store.close()));
      throw error;
    }
  }

  get url(): URL {
    return this.#listener.url;
  }

  get internalUrl(): URL {
    return this.#internal.url;
  }

  get maxConnections(): number {
    return this.#core.limits.maxConnections;
  }

  /**
   * Puts these declarations, or the running ones built anew, in place of the running ones. Sockets stay and meet the new
   * handlers at their next message; a protocol that fails to build keeps its old declaration.
   */
  reload(protocols: readonly Protocol[] = this.#declared): Promise<void> {
    this.#declared = protocols;
    const turn = this.#reloading.then(() => this.#reload(protocols));
    this.#reloading = turn.catch(() => {});
    return turn;
  }

  async #reload(protocols: readonly Protocol[]): Promise<void> {
    if (this.#stopping) return;
    const { settings, log } = this.#options;
    const wanted = protocols.filter((protocol) => settings.serves(protocol.name));
    for (const protocol of wanted) {
      const running = this.#patches.get(protocol.name);
      if (!running) {
        const patch = new Patch(protocol.name, { ...this.#core, gateway: settings.gateway, log });
        await patch.apply(protocol, settings.of(protocol));
        this.#patches.set(protocol.name, patch);
        continue;
      }
      try {
        await running.apply(protocol, settings.of(protocol));
      } catch (error) {
        log.error({ protocol: protocol.name, error }, "reload failed, the running declaration stays");
      }
    }
    for (const [name, patch] of this.#patches) {
      if (wanted.some((protocol) => protocol.name === name)) continue;
      this.#patches.delete(name);
      await patch.close();
    }
    const patches = [...this.#patches.values()];
    const rest = patches.flatMap((patch) => patch.rest);
    this.#listener.serve({ sockets: patches.flatMap((patch) => patch.mounts), rest });
    this.#internal.serve(rest);
    log.info({ protocols: [...this.#patches.keys()] }, "protocols in force");
  }

  /**
   * Drains and stops: no new sockets, every socket sent away by its protocol's come-back signal in batches, then the
   * protocols, the stores and the ports. The sockets are gone within the drain time; a store that does not answer may take
   * longer to close. Returns the sockets that had to be cut off.
   *
   * A node that had sockets answers for `linger` milliseconds at least: whoever comes back at once is told 503, and so
   * tried elsewhere by a balancer, instead of finding the port closed (T-7.11).
   */
  stop({ linger = 0 }: { linger?: number } = {}): Promise<number> {
    this.#stopping ??= this.#stop(linger);
    return this.#stopping;
  }

  async #stop(linger: number): Promise<number> {
    const { log, clock } = this.#options;
    const started = clock.elapsed();
    const deadline = started + this.#options.settings.gateway.drainTime;
    this.#listener.draining = true;
    this.#health.drain();
    const open = this.#core.limits.open;
    log.info({ sockets: open }, "draining");
    // What comes after the sockets needs a little of the time as well.
    const end = deadline - 500;
    const mounts = [...this.#patches.values()].flatMap((patch) => patch.mounts);
    const left = await drainSockets(mounts, end, clock);
    const rest = Math.min(started + linger, end) - clock.elapsed();
    if (open > 0 && rest > 0) await new Promise<void>((resolve) => clock.after(rest, resolve));
    await this.#close();
    log.info({ sockets: open, cut: left, milliseconds: clock.elapsed() - started }, "stopped");
    return left;
  }

  /** Closes what was opened at the start, in the other direction. */
  async #close(): Promise<void> {
    await this.#upkeep.stop();
    for (const patch of this.#patches.values()) await patch.close();
    await this.#listener.stop(true);
    await this.#backplane.close();
    await this.#database.close();
    await this.#internal.stop();
  }

  #checks(metrics: Metrics): Health {
    const { settings, clock, log } = this.#options;
    const health = createHealth({ clock, metrics, log });
    health.check("database", () => this.#database.ping());
    if (settings.gateway.redisUrl !== undefined) health.check("redis", () => this.#backplane.ping());
    return health;
  }
}

/** Opens a port; when it cannot be had, the error names the settings that chose it. */
function openPort(
  listener: { listen(hostname: string, port: number): void },
  hostname: string,
  port: number,
  settings: string,
): void {
  try {
    listener.listen(hostname, port);
  } catch (error) {
    throw new Error(`cannot listen on ${hostname}:${port}, see ${settings}`, { cause: error });
  }
}
