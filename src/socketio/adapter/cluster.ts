import type { BroadcastOptions, Room } from "socket.io-adapter";
import * as v from "valibot";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import type { Encoded } from "../core.ts";
import { carryOut, type LocalSide } from "./local-side.ts";
import { decodeValues, encodeValues, type NodeMessageInput, pack, unpack } from "./node-message.ts";
import { Requests } from "./requests.ts";

/** What links a namespace to its counterparts on other nodes. */
export interface ClusterParts {
  /** Same on every node for the same endpoint, different for every other endpoint. */
  readonly scope: string;
  readonly backplane: Pick<Backplane, "node" | "topics" | "presence">;
  readonly clock: Clock;
  readonly log: Log;
}

/** A socket of another node, as socket.io's `RemoteSocket` wants it. */
const RemoteDetails = v.object({
  id: v.string(),
  handshake: v.looseObject({}),
  rooms: v.array(v.string()),
  data: v.unknown(),
});
export type RemoteDetails = v.InferOutput<typeof RemoteDetails>;

/** Milliseconds an answer of another node may take where the caller sets no time, as in socket.io's own adapters. */
const ANSWER_TIMEOUT = 5_000;

/**
 * One namespace over all nodes.
 *
 * All broadcasts of a namespace share one backplane topic: what one action sends to different rooms then reaches a
 * socket on another node in the order it was sent, which a topic for each room would not give.
 */
export class Cluster {
  readonly #local: LocalSide;
  readonly #parts: ClusterParts;
  readonly #topic: string;
  readonly #requests: Requests;
  #unsubscribe: (() => void) | null = null;

  constructor(local: LocalSide, parts: ClusterParts) {
    this.#local = local;
    this.#parts = parts;
    this.#topic = `socketio:${parts.scope}:${local.nsp.name}`;
    this.#requests = new Requests(parts.clock);
  }

  /** Starts to listen, and tells the other nodes that this one serves the namespace. */
  open(): void {
    const { backplane, log } = this.#parts;
    this.#unsubscribe = backplane.topics.subscribe(this.#topic, (wire, from) => this.#receive(wire, from));
    backplane.presence.join(this.#topic, backplane.node, backplane.node).catch((error) => {
      log.warn({ error, topic: this.#topic }, "namespace not announced to other nodes");
    });
  }

  async close(): Promise<void> {
    const { backplane, log } = this.#parts;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    await backplane.presence.leave(this.#topic, backplane.node, backplane.node).catch((error) => {
      log.warn({ error, topic: this.#topic }, "namespace not taken back from other nodes");
    });
  }

  /**
   * The other nodes that serve this namespace; a node that serves other protocols alone does not count.
   * @throws BackplaneUnavailable
   */
  async others(): Promise<Set<string>> {
    const { backplane } = this.#parts;
    const nodes = await backplane.presence.list(this.#topic);
    return new Set(nodes.map(({ node }) => node).filter((node) => node !== backplane.node));
  }

  emit(encoded: Encoded, options: BroadcastOptions): void {
    this.#publish({ type: "emit", ...target(options) }, encoded);
  }

  /** A broadcast with acknowledgements: `clients` hears each node's count, `answer` each client's value. */
  ask(
    encoded: Encoded,
    options: BroadcastOptions,
    clients: (count: number) => void,
    answer: (value: unknown) => void,
  ): void {
    const timeout = options.flags?.timeout ?? ANSWER_TIMEOUT;
    const request = this.#requests.open({ clients, answer }, timeout);
    this.#publish({ type: "ask", ...target(options), request, timeout }, encoded);
  }

  join(options: BroadcastOptions, rooms: Room[]): void {
    this.#publish({ type: "join", ...target(options), names: rooms });
  }

  leave(options: BroadcastOptions, rooms: Room[]): void {
    this.#publish({ type: "leave", ...target(options), names: rooms });
  }

  disconnect(options: BroadcastOptions, close: boolean): void {
    this.#publish({ type: "disconnect", ...target(options), close });
  }

  /** The chosen sockets of all other nodes. Rejects with `MissingAnswers` when a node is silent. */
  async fetch(options: BroadcastOptions): Promise<RemoteDetails[]> {
    const timeout = options.flags?.timeout ?? ANSWER_TIMEOUT;
    const answers = await this.#requests.gather(await this.others(), timeout, (request) =>
      this.#publish({ type: "fetch", ...target(options), request }),
    );
    return answers.flatMap((answer) => v.parse(v.array(RemoteDetails), answer));
  }

  /** `serverSideEmit`. */
  event(values: unknown[]): void {
    this.#publish({ type: "event" }, encodeValues(values));
  }

  /** `serverSideEmit` with one answer of each other node. Rejects with `MissingAnswers` when a node is silent. */
  async eventWithAck(values: unknown[]): Promise<unknown[]> {
    return this.#requests.gather(await this.others(), ANSWER_TIMEOUT, (request) =>
      this.#publish({ type: "event", request }, encodeValues(values)),
    );
  }

  #publish(message: NodeMessageInput, packet?: Encoded): void {
    this.#parts.backplane.topics.publish(this.#topic, pack(message, packet));
  }

  #send(node: string, message: NodeMessageInput, packet?: Encoded): void {
    this.#parts.backplane.topics.send(node, this.#topic, pack(message, packet));
  }

  #receive(wire: string | Uint8Array, from: string): void {
    const { message, packet } = unpack(wire);
    if (message.type === "clients") this.#requests.get(message.request)?.clients?.(message.count);
    else if (message.type === "answer") this.#requests.get(message.request)?.answer(decodeValues(packet)[0], from);
    else {
      const request = "request" in message ? (message.request ?? 0) : 0;
      carryOut(this.#local, message, packet, {
        clients: (count) => this.#send(from, { type: "clients", request, count }),
        answer: (value) => this.#send(from, { type: "answer", request }, encodeValues([value])),
      });
    }
  }
}

function target({ rooms, except, flags }: BroadcastOptions) {
  return {
    ...(rooms.size > 0 && { rooms: [...rooms] }),
    ...(except && except.size > 0 && { except: [...except] }),
    ...(flags?.volatile && { volatile: true }),
  };
}
