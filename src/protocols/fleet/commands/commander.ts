import type { Backplane } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";
import type { Log } from "../../../observe/log.ts";
import type { Counters } from "../counters.ts";
import type { Links } from "../device/links.ts";
import type { Directory } from "../units/directory.ts";
import type { Answers, CommandAnswer } from "./answers.ts";
import type { Audit } from "./audit.ts";
import { NodeCalls, type RemoteCommand } from "./node-calls.ts";
import type { Parked } from "./parked.ts";
import { sendThroughTraccar, type TraccarOptions } from "./traccar-api.ts";
import { type Job, UnitQueue } from "./unit-queue.ts";

/** What commands work with. */
export interface CommanderParts {
  readonly backplane: Backplane;
  readonly links: Links;
  readonly directory: Directory;
  readonly answers: Answers;
  readonly parked: Parked;
  readonly audit: Audit;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Commands of users to units (F-4.9 to F-4.13, F-12.43). All commands of a unit run on one node, so that only one is in
 * flight over all nodes: the one that has the unit's link, else one that all nodes agree upon.
 */
export class Commander {
  readonly #parts: CommanderParts;
  readonly #options: { readonly timeout: number; readonly traccar: TraccarOptions | null };
  readonly #calls: NodeCalls;
  readonly #queues = new Map<number, UnitQueue>();
  #commands = 0;

  constructor(parts: CommanderParts, options: { timeout: number; traccar: TraccarOptions | null }) {
    this.#parts = parts;
    this.#options = options;
    this.#calls = new NodeCalls(parts, {
      run: (command) => this.#runHere(command),
      answered: (uid, answer) => void this.#answeredHere(uid, answer),
    });
  }

  /** Sends a command on its way; resolves to its `cmd-status` and never rejects. */
  async run(command: RemoteCommand): Promise<boolean> {
    const { backplane, log, audit, counters } = this.#parts;
    try {
      const node = await this.#nodeOf(command.uid);
      const accepted = await (node === backplane.node ? this.#runHere(command) : this.#calls.run(node, command));
      audit.note({
        user: command.asker.user,
        uid: command.uid,
        action: command.cmd,
        result: accepted ? "sent" : "refused",
      });
      counters.command(accepted ? "sent" : "refused");
      return accepted;
    } catch (error) {
      log.warn({ error }, "a command could not be passed on");
      return false;
    }
  }

  /** What a unit says to a command: with the id of a device link's frame, or without one whatever is in flight. */
  async answered(uid: number, answer: CommandAnswer): Promise<void> {
    if (this.#queues.has(uid)) return this.#answeredHere(uid, answer);
    const node = await this.#nodeOf(uid);
    if (node === this.#parts.backplane.node) return this.#answeredHere(uid, answer);
    this.#calls.answered(node, uid, answer);
  }

  /** Gives up on commands that were passed to nodes which are no more. */
  sweep(): Promise<void> {
    return this.#calls.sweep();
  }

  close(): void {
    this.#calls.close();
  }

  async #nodeOf(uid: number): Promise<string> {
    const { links, backplane } = this.#parts;
    const link = await links.find(uid, "tracker");
    if (link) return link.node;
    if (!this.#options.traccar) return backplane.node;
    const nodes = (await backplane.topics.nodes()).sort();
    return nodes[uid % Math.max(1, nodes.length)] ?? backplane.node;
  }

  #runHere({ uid, cmd, cr, asker }: RemoteCommand): Promise<boolean> {
    let queue = this.#queues.get(uid);
    if (!queue) {
      const { clock, answers } = this.#parts;
      const hooks = {
        dispatch: (job: Job) => this.#dispatch(uid, job),
        fault: (job: Job) => answers.fault(uid, job, "cmd-timeout"),
      };
      queue = new UnitQueue(hooks, clock, this.#options.timeout);
      this.#queues.set(uid, queue);
    }
    return queue.run(`${this.#parts.backplane.node.slice(0, 8)}-${++this.#commands}`, cmd, cr, asker);
  }

  async #answeredHere(uid: number, answer: CommandAnswer): Promise<void> {
    const { answers, log } = this.#parts;
    const job = this.#queues.get(uid)?.answered(answer.id) ?? null;
    try {
      await answers.give(uid, answer, job);
    } catch (error) {
      log.warn({ error }, "the answer to a command was not stored");
      if (job) answers.fault(uid, job, "cmd-failed");
    }
  }

  /** F-12.43. */
  async #dispatch(uid: number, { wireId, cmd, cr }: Job): Promise<boolean | "left"> {
    const { links, directory, parked, log } = this.#parts;
    try {
      const link = links.here(uid, "tracker");
      if (link) {
        const ttl = Math.ceil(this.#options.timeout / 1000);
        link.send(JSON.stringify({ t: "cmd", id: wireId, cmd, cr, ttl }));
        return true;
      }
      const unit = await directory.byUid(uid);
      if (!unit) return false;
      const { traccar } = this.#options;
      if (traccar && unit.traccarId !== null) {
        return await sendThroughTraccar(traccar, unit.traccarId, cr ? `${cmd}\r\n` : cmd);
      }
      return (await parked.put(uid, cr ? `${cmd}\r\n` : cmd)) ? "left" : false;
    } catch (error) {
      log.warn({ error }, "a command found no way to its unit");
      return false;
    }
  }
}
