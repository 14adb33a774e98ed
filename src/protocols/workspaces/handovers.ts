import { eq } from "drizzle-orm";
import type { Namespace } from "socket.io";
import * as v from "valibot";
import type { Backplane } from "../../backplane/backplane.ts";
import type { Orm } from "../../database/database.ts";
import type { Log } from "../../observe/log.ts";
import { afterPatience } from "./patience.ts";
import { users } from "./tables.ts";

/** What nodes say to each other, on the way of the events, so that it comes behind those sent before. */
const QUESTION = "workspaces-anything-to-tell";
const ANSWER = "workspaces-all-told";
/**
 * Milliseconds another node has for its answer, by the system's clock, and then is not asked again, unless it is heard
 * of: its events may come late. Every question keeps a connection to the database, of which there are a few; without an
 * end to asking, a node that hangs would soon have taken all of them from everybody else.
 */
const PATIENCE = 2_000;
const SILENCE = 10_000;

/** The nodes that serve this protocol, which are not all of an installation. */
const NODES = "workspaces:nodes";

const Question = v.object({ id: v.string(), from: v.string(), to: v.string(), about: v.string() });
const Answer = v.object({ id: v.string(), from: v.string(), to: v.string() });

/** A question without an answer. */
interface Asked {
  readonly of: string;
  readonly end: () => void;
}

/**
 * Keeps the events of a user's changes in the order of the changes when these are made on several nodes (W-1.19, W-8.4).
 *
 * The row of a user names the node that changed something last. A node that finds another one there asks it, holding
 * the user, whether it has told of all its changes, and goes on when it has. Nobody can change anything of the user
 * meanwhile, so the other node waits for nothing but its own events. They are on their way to all nodes before the
 * answer is, and the events of the change here come after it.
 *
 * A channel is changed by many and ends once: whoever ends it asks all nodes, holding the channel (W-6.41).
 */
export class Handovers {
  readonly #parts: { readonly backplane: Backplane; readonly log: Log };
  /** Changes of this node that hold a user or a channel and are not told of yet, by its id. */
  readonly #untold = new Map<string, Set<Promise<void>>>();
  /** By the id of the question. */
  readonly #asked = new Map<string, Asked>();
  /** Nodes that have not answered in time. */
  readonly #silent = new Set<string>();
  #namespace: Namespace | null = null;

  constructor(parts: { backplane: Backplane; log: Log }) {
    this.#parts = parts;
  }

  mounted(namespace: Namespace): void {
    this.close();
    this.#namespace = namespace;
    namespace.on(QUESTION, this.#onQuestion);
    namespace.on(ANSWER, this.#onAnswer);
    const { backplane, log } = this.#parts;
    backplane.presence
      .join(NODES, backplane.node, backplane.node)
      .catch((error) => log.error({ error }, "other nodes will not wait for this one"));
  }

  close(): void {
    this.#namespace?.off(QUESTION, this.#onQuestion);
    this.#namespace?.off(ANSWER, this.#onAnswer);
  }

  /**
   * A change of this node holds a user from now on.
   *
   * @param last the node that changed something of the user before
   * @param told resolves when the change is told of, or did not come about
   */
  async take(tx: Orm, userId: string, last: string | null, told: Promise<void>): Promise<void> {
    this.note(userId, told);
    const { node } = this.#parts.backplane;
    if (last === node) return;
    if (last !== null) await this.#hearOut(last, userId);
    await tx.update(users).set({ actingNode: node }).where(eq(users.id, userId));
  }

  /** A change of this node that is to be told of before others go on with what it holds. */
  note(held: string, told: Promise<void>): void {
    const untold = this.#untold.get(held) ?? new Set();
    this.#untold.set(held, untold.add(told));
    void told.then(() => {
      untold.delete(told);
      if (untold.size === 0 && this.#untold.get(held) === untold) this.#untold.delete(held);
    });
  }

  /** Waits until all other nodes have told of their changes of what is held here now. */
  async hearAllOut(held: string): Promise<void> {
    const others = (await this.#living()).filter((one) => one !== this.#parts.backplane.node);
    await Promise.all(others.map((other) => this.#ask(other, held)));
  }

  async #hearOut(other: string, held: string): Promise<void> {
    if ((await this.#living(other)).length > 0) await this.#ask(other, held);
  }

  /** All nodes that can be asked, or that one. One out of reach is heard when it is back; a dead one has no more to tell. */
  async #living(node?: string): Promise<readonly string[]> {
    const { up, presence } = this.#parts.backplane;
    if (!up) return [];
    const found = await presence.list(NODES, node).catch(() => []);
    return found.map(({ member }) => member);
  }

  async #ask(other: string, about: string): Promise<void> {
    if (this.#silent.has(other)) return;
    const { backplane } = this.#parts;
    const id = crypto.randomUUID();
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = afterPatience(PATIENCE, () => this.#giveUp(other));
    this.#asked.set(id, { of: other, end: resolve });
    this.#namespace?.serverSideEmit(QUESTION, { id, from: backplane.node, to: other, about });
    await promise;
    cancel();
    this.#asked.delete(id);
  }

  /** Waits for no answer of a node that has not given one in time. */
  #giveUp(other: string): void {
    if (this.#silent.has(other)) return;
    this.#parts.log.warn({ node: other }, "a node did not say whether it has told of its changes");
    this.#silent.add(other);
    setTimeout(() => this.#silent.delete(other), SILENCE).unref();
    for (const { of, end } of this.#asked.values()) if (of === other) end();
  }

  readonly #onQuestion = (question: unknown) => {
    const { node } = this.#parts.backplane;
    if (!v.is(Question, question) || question.to !== node) return;
    const { id, from: to, about } = question;
    const untold = Promise.all(this.#untold.get(about) ?? []);
    void untold.then(() => this.#namespace?.serverSideEmit(ANSWER, { id, from: node, to }));
  };

  readonly #onAnswer = (answer: unknown) => {
    if (!v.is(Answer, answer) || answer.to !== this.#parts.backplane.node) return;
    this.#silent.delete(answer.from);
    this.#asked.get(answer.id)?.end();
  };
}
