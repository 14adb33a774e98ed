import type { Log } from "../../observe/log.ts";
import { BackplaneUnavailable } from "../backplane.ts";
import { type Client, createClient } from "./client.ts";
import type { RedisTimes } from "./times.ts";
import type { RedisAddress } from "./url.ts";

/** A Lua script and the name it is known by. */
export interface Script {
  readonly name: string;
  readonly lua: string;
}

type ScriptCall = (keyCount: number, ...keysAndArguments: (string | number)[]) => Promise<unknown>;

/** Answers that mean "not now": the server is there but cannot serve. Before Redis 7 a script's answer wraps the cause. */
const notNow =
  /(?:^|: -)(?:LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|OOM|MISCONF|BUSY|NOAUTH|WRONGPASS)\b/;

/** ioredis hangs the command with its arguments on the error, passwords and people's data among them: not for a log. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && "command" in error) delete error.command;
  return error;
}

/** The way to Redis: one client for commands, further ones for reads that block, and whether anybody is there. */
export class Connection {
  readonly clustered: boolean;
  readonly #address: RedisAddress;
  readonly #times: RedisTimes;
  readonly #log: Log;
  readonly #client: Client;
  readonly #readers: Client[] = [];
  readonly #onUp: (() => void)[] = [];
  #up = false;
  #reportedAway = false;
  #closed = false;
  #cause: unknown;

  constructor(address: RedisAddress, { times, log }: { times: RedisTimes; log: Log }) {
    this.clustered = address.kind === "cluster";
    this.#address = address;
    this.#times = times;
    this.#log = log;
    this.#client = createClient(address, times, false);
    this.#client.on("ready", () => this.#connected());
    this.#client.on("close", () => this.#disconnected());
    this.#client.on("error", (error: unknown) => {
      this.#cause = withoutCommand(error);
      // Sentinels that do not answer make errors without ever closing anything.
      if (!this.#up) this.#disconnected();
    });
  }

  get up(): boolean {
    return this.#up;
  }

  /** Calls `listener` each time the connection comes up. */
  onUp(listener: () => void): void {
    this.#onUp.push(listener);
  }

  /** Resolves when the connection is up. */
  async opened(): Promise<void> {
    if (!this.#up) await new Promise<void>((resolve) => this.#onUp.push(resolve));
  }

  /**
   * Runs a command.
   *
   * @throws {BackplaneUnavailable} at once while Redis is away; also when it goes away before the answer, or gives none
   *   in time, and whether the command was done is then unknown
   */
  async run<T>(command: (client: Client) => Promise<T>): Promise<T> {
    if (!this.#up) throw new BackplaneUnavailable("redis is away");
    try {
      return await command(this.#client);
    } catch (cause) {
      const error = withoutCommand(cause);
      const answered = error instanceof Error && error.name === "ReplyError";
      if (answered && !notNow.test(error.message)) throw error;
      throw new BackplaneUnavailable("redis did not answer", { cause: error });
    }
  }

  /**
   * Runs a script (EVALSHA, and EVAL where it is not loaded). All keys must hash to one slot.
   *
   * @throws {BackplaneUnavailable} as {@link run}
   */
  eval(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return this.run((client) => {
      const commands = client as unknown as Record<string, ScriptCall>;
      if (commands[script.name] === undefined) client.defineCommand(script.name, { lua: script.lua });
      return commands[script.name]!(keys.length, ...keys, ...args);
    });
  }

  /** A client of its own for reads that block. It is closed with this connection. */
  openReader(): Client {
    const reader = createClient(this.#address, this.#times, true);
    // Its user meets every failure at the read itself; without a listener the event would end the process.
    reader.on("error", (error: unknown) => {
      this.#log.debug({ err: withoutCommand(error) }, "redis reader failed");
    });
    this.#readers.push(reader);
    return reader;
  }

  close(): void {
    this.#closed = true;
    this.#up = false;
    for (const client of [this.#client, ...this.#readers]) client.disconnect();
  }

  #connected(): void {
    if (this.#closed) return;
    this.#up = true;
    if (this.#reportedAway) this.#log.info({}, "redis back");
    this.#reportedAway = false;
    for (const listener of this.#onUp) listener();
  }

  #disconnected(): void {
    this.#up = false;
    if (this.#closed || this.#reportedAway) return;
    this.#reportedAway = true;
    this.#log.warn({ err: this.#cause }, "redis away");
  }
}
