import { sql } from "drizzle-orm";
import type { Topics } from "../../backplane/backplane.ts";
import type { Clock } from "../../clock.ts";
import type { Database } from "../../database/database.ts";
import type { RawTopics } from "../../rawsocket/endpoint.ts";
import type { Session } from "./client/session.ts";
import { CommitOrder, type Told } from "./commit-order.ts";
import type { FrameErrorCode } from "./errors.ts";
import { unitState } from "./tables.ts";

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

/** Milliseconds that a unit's frames wait for those of a commit before theirs: what a backplane may need, and more. */
const PATIENCE = 1_000;

/**
 * Frames to client sockets of all nodes (F-5.1). Here they go out by native publish; other nodes get those of one turn of
 * the event loop as one message, in the same order.
 */
export class Fanout {
  readonly #topics: Topics;
  readonly #database: Database;
  readonly #order: CommitOrder;
  #local: RawTopics<Session> | null = null;
  #answers: AnswerListener = () => {};
  #lines: string[] = [];

  /** `delay`: milliseconds that frames may be held back on purpose after their commit. */
  constructor({ topics, database, clock }: { topics: Topics; database: Database; clock: Clock }, delay: number) {
    this.#topics = topics;
    this.#database = database;
    this.#order = new CommitOrder(clock, PATIENCE + delay, (uid, frames) => this.#publish(uid, frames));
    topics.subscribe(TOPIC, (message) => this.#heard(String(message)));
  }

  /** The client endpoint stands. */
  mounted(local: RawTopics<Session>): void {
    this.#local = local;
  }

  onAnswer(listener: AnswerListener): void {
    this.#answers = listener;
  }

  /** Has frames of units go to this node's sockets, before the first of these subscribes to one. */
  follow(uids: Iterable<number>): Promise<void> {
    return this.#order.follow(uids, (fresh) => this.#versions(fresh));
  }

  /** To every session that may view the unit, in the order of its versions. */
  toUnit(uid: number, told: Told): void {
    this.#order.take(uid, told);
    this.#toOthers(["unit", uid, told.from, told.to, ...told.frames]);
  }

  /** The unit's version that this node's sockets were told of last; 0 for one that nobody here has watched. */
  told(uid: number): number {
    return this.#order.told(uid);
  }

  /** To every session of the user. */
  toUser(number: number, frame: string): void {
    this.#local?.publish(userTopic(number), frame);
    this.#toOthers(["user", number, frame]);
  }

  answer(answer: Answer): void {
    this.#answers(answer);
    this.#toOthers(["answer", JSON.stringify(answer)]);
  }

  /** JSON text holds neither line breaks nor tabs. */
  #toOthers(line: readonly [Kind, ...(string | number)[]]): void {
    if (this.#lines.length === 0) queueMicrotask(() => this.#flush());
    this.#lines.push(line.join("\t"));
  }

  #flush(): void {
    const lines = this.#lines;
    this.#lines = [];
    this.#topics.publish(TOPIC, lines.join("\n"));
  }

  #heard(message: string): void {
    for (const line of message.split("\n")) {
      const [kind, ...words] = line.split("\t") as [Kind, ...string[]];
      if (kind === "unit") {
        const [uid, from, to, ...frames] = words;
        this.#order.take(Number(uid), { from: Number(from), to: Number(to), frames });
      } else if (kind === "user") this.#local?.publish(userTopic(Number(words[0])), words[1]!);
      else this.#answers(JSON.parse(words[0]!) as Answer);
    }
  }

  async #versions(uids: readonly number[]): Promise<Map<number, number>> {
    const rows = await this.#database.orm
      .select({ uid: unitState.uid, version: unitState.version })
      .from(unitState)
      .where(sql`${unitState.uid} = any(${`{${uids}}`}::text::bigint[])`);
    return new Map(rows.map(({ uid, version }) => [uid, version]));
  }

  #publish(uid: number, frames: readonly string[]): void {
    for (const frame of frames) this.#local?.publish(unitTopic(uid), frame);
  }
}

export const unitTopic = (uid: number): string => `unit/${uid}`;
export const userTopic = (number: number): string => `user/${number}`;
