import * as v from "valibot";
import type { Backplane } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";
import type { CommandAnswer } from "./answers.ts";

const TOPIC = "fleet:commands";
/** Milliseconds another node has to say that it took a command (F-6.8). */
const PATIENCE = 2_000;

/** A command and who asked for it. */
export interface RemoteCommand {
  readonly uid: number;
  readonly cmd: string;
  readonly cr: boolean;
  readonly asker: { readonly channel: string; readonly id: string; readonly user: number };
}

const Message = v.variant("t", [
  v.object({
    t: v.literal("run"),
    call: v.number(),
    uid: v.number(),
    cmd: v.string(),
    cr: v.boolean(),
    asker: v.object({ channel: v.string(), id: v.string(), user: v.number() }),
  }),
  v.object({ t: v.literal("taken"), call: v.number() }),
  v.object({ t: v.literal("status"), call: v.number(), accepted: v.boolean() }),
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

/** What another node may ask of this one. */
export interface NodeHandlers {
  run(command: RemoteCommand): Promise<boolean>;
  answered(uid: number, answer: CommandAnswer): void;
}

/** A command that another node has. */
interface Call {
  readonly node: string;
  readonly settle: (accepted: boolean) => void;
  readonly taken: () => void;
}

/** Commands and answers from node to node (F-6.8). */
export class NodeCalls {
  readonly #backplane: Backplane;
  readonly #clock: Clock;
  readonly #handlers: NodeHandlers;
  readonly #calls = new Map<number, Call>();
  readonly #stop: () => void;
  #count = 0;

  constructor({ backplane, clock }: { backplane: Backplane; clock: Clock }, handlers: NodeHandlers) {
    this.#backplane = backplane;
    this.#clock = clock;
    this.#handlers = handlers;
    this.#stop = backplane.topics.subscribe(TOPIC, (message, from) => this.#heard(String(message), from));
  }

  /** Has another node run a command; false when it does not answer in time. */
  run(node: string, command: RemoteCommand): Promise<boolean> {
    const call = ++this.#count;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const settle = (accepted: boolean) => {
      taken();
      this.#calls.delete(call);
      resolve(accepted);
    };
    const taken = this.#clock.after(PATIENCE, () => settle(false));
    this.#calls.set(call, { node, settle, taken });
    this.#send(node, { t: "run", call, ...command });
    return promise;
  }

  answered(node: string, uid: number, answer: CommandAnswer): void {
    this.#send(node, { t: "answer", uid, answer });
  }

  /** Commands that wait at a node which is no more will not be run. */
  async sweep(): Promise<void> {
    if (this.#calls.size === 0) return;
    const nodes = new Set(await this.#backplane.topics.nodes());
    for (const { node, settle } of [...this.#calls.values()]) if (!nodes.has(node)) settle(false);
  }

  close(): void {
    this.#stop();
    for (const { settle } of [...this.#calls.values()]) settle(false);
  }

  #send(node: string, message: Message): void {
    this.#backplane.topics.send(node, TOPIC, JSON.stringify(message));
  }

  #heard(text: string, from: string): void {
    const message = v.parse(Message, JSON.parse(text));
    switch (message.t) {
      case "run": {
        const { call, t: _, ...command } = message;
        this.#send(from, { t: "taken", call });
        void this.#handlers.run(command).then((accepted) => this.#send(from, { t: "status", call, accepted }));
        return;
      }
      case "taken":
        this.#calls.get(message.call)?.taken();
        return;
      case "status":
        this.#calls.get(message.call)?.settle(message.accepted);
        return;
      case "answer":
        this.#handlers.answered(message.uid, message.answer);
    }
  }
}
