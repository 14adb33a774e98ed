import type { Topics } from "../../backplane/backplane.ts";
import type { RawTopics } from "../../rawsocket/endpoint.ts";
import type { Session } from "./client/session.ts";
import type { FrameErrorCode } from "./errors.ts";

/** Frames on their way to the watchers of other nodes. */
const TOPIC = "fleet:frames";

/** An answer for everybody who may see a unit, in which the requesters find their own ids (F-5.14). */
export interface Answer {
  readonly uid: number;
  readonly subtype: string;
  readonly cmd: unknown;
  /** Request ids by the id of the channel that asked. */
  readonly askers: Readonly<Record<string, readonly string[]>>;
  /** There is no answer: only those who asked are told (F-4.13). */
  readonly fault?: FrameErrorCode;
}

/** Takes answers on this node; they are rare, so they go from socket to socket. */
export type AnswerListener = (answer: Answer) => void;

/** Whom a line between nodes is for: the watchers of a unit, the sessions of a user, the askers of an answer. */
type Kind = "unit" | "user" | "answer";

/**
 * Frames to client sockets of all nodes (F-5.1). Here they go out by native publish; other nodes get those of one turn of
 * the event loop as one message, in the same order.
 */
export class Fanout {
  readonly #topics: Topics;
  readonly #stop: () => void;
  #local: RawTopics<Session> | null = null;
  #answers: AnswerListener = () => {};
  #lines: string[] = [];

  constructor(topics: Topics) {
    this.#topics = topics;
    this.#stop = topics.subscribe(TOPIC, (message) => this.#heard(String(message)));
  }

  /** The client endpoint stands. */
  mounted(local: RawTopics<Session>): void {
    this.#local = local;
  }

  onAnswer(listener: AnswerListener): void {
    this.#answers = listener;
  }

  /** To every session that may view the unit. */
  toUnit(uid: number, frame: string): void {
    this.#send("unit", uid, frame);
  }

  /** To every session of the user. */
  toUser(number: number, frame: string): void {
    this.#send("user", number, frame);
  }

  answer(answer: Answer): void {
    this.#send("answer", answer.uid, JSON.stringify(answer));
  }

  close(): void {
    this.#stop();
  }

  #send(kind: Kind, whom: number, text: string): void {
    this.#deliver(kind, whom, text);
    if (this.#lines.length === 0) queueMicrotask(() => this.#flush());
    this.#lines.push(`${kind} ${whom} ${text}`);
  }

  #flush(): void {
    const lines = this.#lines;
    this.#lines = [];
    // JSON text holds no line breaks.
    this.#topics.publish(TOPIC, lines.join("\n"));
  }

  #heard(message: string): void {
    for (const line of message.split("\n")) {
      const [kind = "", whom = ""] = line.split(" ", 2);
      this.#deliver(kind as Kind, Number(whom), line.slice(kind.length + whom.length + 2));
    }
  }

  #deliver(kind: Kind, whom: number, text: string): void {
    if (kind === "unit") this.#local?.publish(unitTopic(whom), text);
    else if (kind === "user") this.#local?.publish(userTopic(whom), text);
    else this.#answers(JSON.parse(text) as Answer);
  }
}

export const unitTopic = (uid: number): string => `unit/${uid}`;
export const userTopic = (number: number): string => `user/${number}`;
