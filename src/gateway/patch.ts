import type { Accounts } from "../accounts/accounts.ts";
import type { Backplane } from "../backplane/backplane.ts";
import type { Clock } from "../clock.ts";
import type { GatewaySettings } from "../config/gateway.ts";
import type { Section, Values } from "../config/setting.ts";
import type { Database } from "../database/database.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Core, Protocol, Surface } from "../protocols/protocol.ts";
import type { RawEndpoint } from "../rawsocket/endpoint.ts";
import { mountRawSocket, type RawSocketMount } from "../rawsocket/mount.ts";
import type { SocketIoEndpoint } from "../socketio/endpoint.ts";
import { mountSocketIo, type SocketIoMount } from "../socketio/mount.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { SocketMount } from "./mounts.ts";
import type { RestMount } from "./rest.ts";
import { TaskRunner } from "./tasks.ts";

/** What a patch hands on to its protocol. */
export interface PatchParts {
  readonly gateway: GatewaySettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly database: Database;
  readonly backplane: Backplane;
  readonly accounts: Accounts;
  readonly limits: ConnectionLimits;
}

/**
 * One protocol patched into the running gateway. A reload applies a new declaration: mounts and kept state stay, the
 * handlers behind them change.
 */
export class Patch {
  readonly #name: string;
  readonly #parts: PatchParts;
  readonly #log: Log;
  readonly #kept = new Map<string, unknown>();
  readonly #socketio = new Map<string, SocketIoMount>();
  readonly #rawsocket = new Map<string, RawSocketMount>();
  #surface: Surface = {};
  #tasks: TaskRunner;

  constructor(name: string, parts: PatchParts) {
    this.#name = name;
    this.#parts = parts;
    this.#log = parts.log.child({ protocol: name });
    this.#tasks = new TaskRunner(parts.clock, this.#log);
  }

  /** The socket endpoints of the declaration in force. */
  get mounts(): SocketMount[] {
    return [...this.#socketio.values(), ...this.#rawsocket.values()];
  }

  get rest(): RestMount[] {
    return this.#surface.rest ? [{ surface: this.#surface.rest, log: this.#log }] : [];
  }

  /** Builds the declaration and puts it in force. When building fails nothing has changed. */
  async apply(protocol: Protocol, settings: Values<Section>): Promise<void> {
    const surface = await protocol.build(this.#coreFor(settings));
    const previous = this.#surface;
    await this.#tasks.stop();
    this.#surface = surface;
    await this.#mount(surface.sockets ?? []);
    this.#tasks = new TaskRunner(this.#parts.clock, this.#log);
    this.#tasks.start(surface.tasks ?? []);
    await previous.close?.();
  }

  /** Ends tasks, sockets and the surface, in this order. */
  async close(): Promise<void> {
    await this.#tasks.stop();
    for (const mount of this.mounts) await mount.close();
    await this.#surface.close?.();
  }

  #coreFor(settings: Values<Section>): Core<Values<Section>> {
    const { gateway, clock, metrics, database, backplane, accounts } = this.#parts;
    return {
      settings,
      gateway,
      clock,
      database,
      backplane,
      accounts,
      log: this.#log,
      metrics: metrics.of(this.#name),
      keep: <T>(name: string, make: () => T): T => {
        if (!this.#kept.has(name)) this.#kept.set(name, make());
        return this.#kept.get(name) as T;
      },
    };
  }

  async #mount(endpoints: readonly (SocketIoEndpoint | RawEndpoint<unknown>)[]): Promise<void> {
    const { clock, metrics, backplane, limits } = this.#parts;
    const deps = {
      name: this.#name,
      clock,
      backplane,
      log: this.#log,
      metrics: metrics.of(this.#name),
      observer: limits,
    };
    const gone = new Map<string, SocketMount>([...this.#socketio, ...this.#rawsocket]);
    for (const endpoint of endpoints) {
      if (endpoint.kind === "socketio") {
        gone.delete(endpoint.path);
        const mount = this.#socketio.get(endpoint.path);
        if (mount) mount.swap(endpoint);
        else this.#socketio.set(endpoint.path, mountSocketIo(endpoint, deps));
      } else {
        gone.delete(endpoint.name);
        const mount = this.#rawsocket.get(endpoint.name);
        if (mount) mount.swap(endpoint);
        else this.#rawsocket.set(endpoint.name, mountRawSocket(endpoint, deps));
      }
    }
    for (const [key, mount] of gone) {
      this.#socketio.delete(key);
      this.#rawsocket.delete(key);
      await mount.close();
    }
  }
}
