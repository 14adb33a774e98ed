import type { Account, Accounts } from "../accounts/accounts.ts";
import type { Backplane } from "../backplane/backplane.ts";
import type { Clock } from "../clock.ts";
import type { GatewaySettings } from "../config/gateway.ts";
import type { Section, Values } from "../config/setting.ts";
import type { Database } from "../database/database.ts";
import type { RestSurface } from "../http/routes.ts";
import type { Log } from "../observe/log.ts";
import type { ProtocolMetrics } from "../observe/metrics.ts";
import type { RawEndpoint } from "../rawsocket/endpoint.ts";
import type { SocketIoEndpoint } from "../socketio/endpoint.ts";

/** What a protocol stands on. */
export interface Core<Settings> {
  readonly settings: Settings;
  readonly gateway: GatewaySettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProtocolMetrics;
  readonly database: Database;
  readonly backplane: Backplane;
  readonly accounts: Accounts;
  /**
   * State of this protocol in this process that outlives a hot reload: `make` runs once, later calls with the same name
   * return the same object.
   */
  keep<T>(name: string, make: () => T): T;
}

/** Work that recurs. Runs of one task never overlap; one that throws is logged and goes on. */
export interface Task {
  readonly name: string;
  /** Milliseconds between runs. */
  readonly every: number;
  run(): void | Promise<void>;
}

/** What a protocol shows the world. */
export interface Surface {
  readonly rest?: RestSurface;
  readonly sockets?: readonly (SocketIoEndpoint | RawEndpoint<unknown>)[];
  readonly tasks?: readonly Task[];
  /** Called when the surface is replaced by a reload or the gateway stops, after its sockets and tasks ended. */
  close?(): void | Promise<void>;
}

/** What commands may work on beside a gateway that runs, or without one. */
export interface CommandStores {
  readonly database: Database;
  readonly accounts: Accounts;
}

/** What a command of a protocol is given. */
export interface CommandInput<Settings> {
  /** Options by name; those that are not flags are text. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly words: readonly string[];
  readonly settings: Settings;
  readonly gateway: GatewaySettings;
  /** Lends out the stores, their schema up to date. */
  withStores<T>(work: (stores: CommandStores) => Promise<T>): Promise<T>;
  /** Writes a line to standard output. */
  print(line: string): void;
}

/** A command of the executable that belongs to a protocol: `patchbay <protocol> <name>`. */
export interface ProtocolCommand<Settings = Values<Section>> {
  /** What stands after the name, and what it does, as the help shows it. */
  readonly synopsis: string;
  readonly summary: string;
  readonly details?: string;
  readonly options: Readonly<Record<string, { readonly type: "string" | "boolean" }>>;
  /** Words beside the options. */
  readonly words: { readonly least: number; readonly most: number };
  /** Its code, loaded when it runs. Rejecting tells the person why and ends with 1. */
  load(): Promise<{ run(input: CommandInput<Settings>): Promise<void> }>;
}

/** A protocol as a value: its name, its settings, and how to build its surface. */
export interface Protocol<Settings extends Section = Section> {
  /** Also the name of its Postgres schema and its label in metrics. */
  readonly name: string;
  readonly settings: Settings;
  /** Faults that only show across several settings; each with its remedy. */
  check?(
    settings: Values<Settings>,
  ): readonly { readonly setting: string; readonly fault: string; readonly remedy: string }[];
  build(core: Core<Values<Settings>>): Surface | Promise<Surface>;
  /** How `patchbay token` makes a token that clients of this protocol may show. Without it there are none to be made. */
  readonly token?: {
    /** The HS256 secret of access tokens, if one is set. */
    secret(settings: Values<Settings>): string | undefined;
    /** What such a token says of an account; `exp` is added. */
    claims(account: Account): Record<string, unknown>;
  };
  /** Commands of its own, by name. */
  readonly commands?: Readonly<Record<string, ProtocolCommand<Values<Settings>>>>;
  /**
   * Shell lines, ready to paste, that hold a first conversation with a gateway at `url`, whose internal port is at
   * `internal` (no last slashes). Printed at the start and in the README, and run by a test.
   */
  firstConversation?(url: string, internal: string): string;
}

/** Declares a protocol; erases its settings type for the list of protocols. */
export function defineProtocol<Settings extends Section>(protocol: Protocol<Settings>): Protocol {
  return protocol as unknown as Protocol;
}
