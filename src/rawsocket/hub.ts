import type { Server } from "bun";
import type { Cancel, Clock } from "../clock.ts";
import type { Log } from "../observe/log.ts";
import type { ProtocolMetrics } from "../observe/metrics.ts";
import type { SocketOwner } from "../websocket.ts";
import type { RawChannel } from "./channel.ts";
import type { Connection } from "./connection.ts";
import type { ChannelEnd, RawEndpoint } from "./endpoint.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Meters } from "./meters.ts";
import { Topics } from "./topics.ts";

/** What a mount stands on. */
export interface RawSocketDeps {
  /** Name of the protocol. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProtocolMetrics;
  /** Told of each socket that opens and closes, by the client's address. */
  readonly observer?: { opened(address: string): void; closed(address: string): void };
}

/** What the sockets of one endpoint share: the declaration in force, the heartbeat, the topics, the meters. */
export class Hub {
  readonly clock: Clock;
  readonly log: Log;
  readonly topicPrefix: string;
  /** Sockets that come are accepted and sent away. */
  draining = false;
  /** Undefined until the first request. */
  server: Server<SocketOwner> | undefined;
  readonly #deps: RawSocketDeps;
  readonly #topics: Topics;
  #endpoint: RawEndpoint<unknown>;
  #meters: Meters;
  #heartbeat: Heartbeat<Connection>;
  #stopBeat: Cancel;
  #pressed = false;

  /** Throws what the endpoint's `mounted` throws. */
  constructor(endpoint: RawEndpoint<unknown>, deps: RawSocketDeps) {
    this.clock = deps.clock;
    this.log = deps.log.child({ endpoint: endpoint.name });
    this.topicPrefix = `${deps.name}/${endpoint.name}/`;
    this.#deps = deps;
    this.#topics = new Topics(this);
    this.#endpoint = endpoint;
    this.#meters = this.#metersOf(endpoint);
    this.#heartbeat = new Heartbeat(endpoint.limits);
    endpoint.mounted?.(this.#topics);
    this.#stopBeat = this.clock.every(this.#heartbeat.every, () => this.#beat());
  }

  /** The declaration in force. Look it up at each event: a reload replaces it under living sockets. */
  get endpoint(): RawEndpoint<unknown> {
    return this.#endpoint;
  }

  get meters(): Meters {
    return this.#meters;
  }

  /** Holds every connection of the endpoint. */
  get heartbeat(): Heartbeat<Connection> {
    return this.#heartbeat;
  }

  /** Puts another declaration in force. When its `mounted` throws, so does this, and the old one stays. */
  swap(endpoint: RawEndpoint<unknown>): void {
    endpoint.mounted?.(this.#topics);
    this.#endpoint = endpoint;
    this.#meters = this.#metersOf(endpoint);
    const members = [...this.#heartbeat.members()];
    this.#heartbeat = new Heartbeat(endpoint.limits);
    for (const member of members) this.#heartbeat.add(member);
    this.#stopBeat();
    this.#stopBeat = this.clock.every(this.#heartbeat.every, () => this.#beat());
  }

  /** Ends the heartbeat. */
  stop(): void {
    this.#stopBeat();
  }

  /** A socket was upgraded. */
  joined(connection: Connection): void {
    this.#heartbeat.add(connection);
    this.#deps.observer?.opened(connection.channel.address);
  }

  /** A socket is gone. */
  left(connection: Connection, end: ChannelEnd): void {
    this.#heartbeat.remove(connection);
    this.#meters.closed(end);
    this.#deps.observer?.closed(connection.channel.address);
  }

  /** A hook or task of the endpoint failed. */
  failed(channel: RawChannel, error: unknown): void {
    try {
      if (this.#endpoint.failed) {
        this.#endpoint.failed(channel, error);
        return;
      }
      this.log.error({ error, channel: channel.id }, "handler failed");
    } catch (second) {
      this.log.error({ error: second, cause: error, channel: channel.id }, "failed hook failed");
    }
    channel.close(1011, "Internal error");
  }

  /** Published frames wait in some outbox; `dropped` when Bun has begun to throw them away. */
  pressed(dropped: boolean): void {
    this.#pressed = true;
    // Bun closes what it has dropped a frame for, without a word. Be first, so that the reason is told and counted.
    if (dropped) this.#checkOutboxes();
  }

  /** The last frame before a close of the gateway's own, where the protocol has one. */
  lastFrame(channel: RawChannel, code: number, reason: string): string | undefined {
    try {
      return this.#endpoint.closes.lastFrame?.(code, reason, channel);
    } catch (error) {
      this.log.error({ error, code }, "last frame failed");
      return undefined;
    }
  }

  #beat(): void {
    this.#heartbeat.beat();
    if (this.#pressed) this.#checkOutboxes();
  }

  /** Native publish does not pass `send`, so the outboxes are looked through as long as one of them holds something. */
  #checkOutboxes(): void {
    let waiting = false;
    for (const { channel } of this.#heartbeat.members()) waiting = channel.checkOutbox() > 0 || waiting;
    this.#pressed = waiting;
  }

  #metersOf(endpoint: RawEndpoint<unknown>): Meters {
    const { slowReader, noPong, drain, full } = endpoint.closes;
    const codes = [slowReader.code, noPong.code, drain.code, full.code];
    return new Meters(this.#deps.metrics, endpoint.name, () => this.#heartbeat.size, codes);
  }
}
