import * as v from "valibot";
import type { Backplane } from "../../../backplane/backplane.ts";
import type { Cancel, Clock } from "../../../clock.ts";
import type { CommandAnswer } from "./answers.ts";
import type { Asker } from "./unit-queue.ts";

const TOPIC = "fleet:commands";
/** Milliseconds another node has to say that it is there (F-6.8). */
export const PATIENCE = 2_000;

/** A command and who asked for it. */
export interface RemoteCommand {
  readonly uid: number;
  readonly cmd: string;
  readonly cr: boolean;
  readonly asker: Asker;
}

/** What becomes of a command. */
export interface Run {
  /** Its `cmd-status` (F-4.9). Never rejects. */
  readonly accepted: Promise<boolean>;
  /** Whoever asked has heard all there is to hear. Stays open when the node that has the command dies. */
  readonly ended: Promise<void>;
}

/** What a node does with what another says. */
export interface CommandHandlers {
  run(command: RemoteCommand): Run;
  answered(uid: number, answer: CommandAnswer): void;
}

const call = v.number();
const Message = v.variant("t", [
  v.object({ t: v.literal("hail"), call }),
  v.object({ t: v.literal("here"), call }),
  v.object({
    t: v.literal("run"),
    call,
    uid: v.number(),
    cmd: v.string(),
    cr: v.boolean(),
    asker: v.object({ channel: v.string(), id: v.string(), user: v.number() }),
  }),
  v.object({ t: v.literal("status"), call, accepted: v.boolean() }),
  v.object({ t: v.literal("ended"), call }),
  v.object({
    t: v.literal("answer"),
    uid: v.number(),
    answer: v.object({
      ok: v.boolean(),
      id: v.exactOptional(v.string()),
      text: v.exactOptional(v.string()),
      io: v.exactOptional(v.record(v.string(), v.number())),
    }),
  }),
]);
type Message = v.InferOutput<typeof Message>;

/** A command that is to run on another node. */
interface Call {
  readonly node: string;
  readonly command: RemoteCommand;
  readonly accepted: PromiseWithResolvers<boolean>;
  readonly ended: PromiseWithResolvers<void>;
  /** Milliseconds that node has for it, once it has said that it is there. */
  readonly longest: number;
  /** Ends the wait for that node's next word. */
  patience: Cancel;
}

/**
 * Commands and answers from node to node (F-6.8). A node is hailed before it is given a command: one that is slow to
 * answer must not carry out what its asker was told is refused (F-4.3).
 *
 * One object for the life of the process, which listens once: with a subscription for each reload of the code, a command
 * would be carried out twice while the old code goes and the new one comes.
 */
export class NodeCalls {
  readonly #backplane: Backplane;
  readonly #clock: Clock;
  readonly #calls = new Map<number, Call>();
  #handlers: CommandHandlers | null = null;
  #count = 0;

  constructor({ backplane, clock }: { backplane: Backplane; clock: Clock }) {
    this.#backplane = backplane;
    this.#clock = clock;
    backplane.topics.subscribe(TOPIC, (message, from) => this.#heard(String(message), from));
  }

  /** Who takes commands and answers of other nodes from now on. */
  handleBy(handlers: CommandHandlers): void {
    this.#handlers = handlers;
  }

  /**
   * Has another node run a command. It is refused when that node does not say in time that it is there, and when what
   * it said afterwards got lost: `longest` is how many milliseconds it can take to end a command.
   */
  run(node: string, command: RemoteCommand, longest: number): Run {
    const number = ++this.#count;
    const [accepted, ended] = [Promise.withResolvers<boolean>(), Promise.withResolvers<void>()];
    const patience = this.#clock.after(PATIENCE, () => this.#refuse(number));
    this.#calls.set(number, { node, command, accepted, ended, longest, patience });
    this.#send(node, { t: "hail", call: number });
    return { accepted: accepted.promise, ended: ended.promise };
  }

  answered(node: string, uid: number, answer: CommandAnswer): void {
    this.#send(node, { t: "answer", uid, answer });
  }

  /** Gives up commands that lie with a node which is no more. */
  async sweep(): Promise<void> {
    if (this.#calls.size === 0) return;
    const nodes = new Set(await this.#backplane.topics.nodes());
    for (const [number, { node }] of [...this.#calls]) if (!nodes.has(node)) this.#refuse(number);
  }

  /** Lets a call go; whoever has had no `cmd-status` yet is refused. */
  #refuse(number: number): void {
    const known = this.#calls.get(number);
    known?.patience();
    known?.accepted.resolve(false);
    this.#calls.delete(number);
  }

  #send(node: string, message: Message): void {
    this.#backplane.topics.send(node, TOPIC, JSON.stringify(message));
  }

  #heard(text: string, from: string): void {
    const message = v.parse(Message, JSON.parse(text));
    switch (message.t) {
      case "hail":
        this.#send(from, { t: "here", call: message.call });
        return;
      case "here": {
        const known = this.#calls.get(message.call);
        if (!known) return;
        known.patience();
        known.patience = this.#clock.after(known.longest, () => this.#refuse(message.call));
        this.#send(from, { t: "run", call: message.call, ...known.command });
        return;
      }
      case "run":
        this.#run(message, from);
        return;
      case "status":
        this.#calls.get(message.call)?.accepted.resolve(message.accepted);
        return;
      case "ended":
        this.#calls.get(message.call)?.ended.resolve();
        this.#refuse(message.call);
        return;
      case "answer":
        this.#handlers?.answered(message.uid, message.answer);
    }
  }

  #run({ call, t: _, ...command }: Extract<Message, { t: "run" }>, from: string): void {
    const run = this.#handlers?.run(command);
    void run?.accepted.then((accepted) => this.#send(from, { t: "status", call, accepted }));
    void run?.ended.then(() => this.#send(from, { t: "ended", call }));
  }
}
