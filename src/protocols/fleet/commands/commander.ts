import type { Backplane } from "../../../backplane/backplane.ts";
import type { Clock } from "../../../clock.ts";
import type { Log } from "../../../observe/log.ts";
import type { Counters } from "../counters.ts";
import type { Links } from "../device/links.ts";
import type { Directory } from "../units/directory.ts";
import type { Answers, CommandAnswer } from "./answers.ts";
import type { Audit } from "./audit.ts";
import { type NodeCalls, PATIENCE, type RemoteCommand, type Run } from "./node-calls.ts";
import type { Parked } from "./parked.ts";
import { sendThroughTraccar, type TraccarOptions, UPSTREAM_TIMEOUT } from "./traccar-api.ts";
import { type Job, longestStay, noCommands, type UnitCommands, UnitQueue } from "./unit-queue.ts";

/** What commands work with. */
export interface CommanderParts {
  readonly backplane: Backplane;
  readonly calls: NodeCalls;
  readonly links: Links;
  readonly directory: Directory;
  readonly answers: Answers;
  readonly parked: Parked;
  readonly audit: Audit;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/** Stands in a command's id between the node that sends it and what tells it from others; no node's name has it. */
const SEPARATOR = ".";

/** The nodes that hand commands to Traccar: others may serve other protocols, or know of no Traccar. */
const TRACCAR_NODES = "fleet:traccar";

const refused: Run = { accepted: Promise.resolve(false), ended: Promise.resolve() };

/**
 * Commands of users to units (F-4.9 to F-4.13, F-12.43). All commands of a unit run on one node, so that only one is in
 * flight over all nodes: the one that has the unit's link, else one that all nodes agree upon.
 */
export class Commander {
  readonly #parts: CommanderParts;
  readonly #options: { readonly timeout: number; readonly traccar: TraccarOptions | null };
  readonly #units: Map<number, UnitCommands>;

  /** `units`: commands under way on this node, by uid. */
  constructor(
    parts: CommanderParts,
    options: { timeout: number; traccar: TraccarOptions | null },
    units: Map<number, UnitCommands>,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#units = units;
    parts.calls.handleBy({
      run: (command) => this.#runHere(command),
      answered: (uid, answer) => void this.#answeredHere(uid, answer),
    });
  }

  /** Takes a share of the units that are reached through Traccar, if this node knows one. */
  async join(): Promise<void> {
    const { node, presence } = this.#parts.backplane;
    if (this.#options.traccar) await presence.join(TRACCAR_NODES, node, node);
  }

  /** A command that its user may not give. */
  refuse(command: RemoteCommand): false {
    this.#note(command, false);
    return false;
  }

  /** Sends a command on its way; resolves to its `cmd-status` and never rejects. */
  async run(command: RemoteCommand): Promise<boolean> {
    const accepted = await this.#pass(command).catch((error) => {
      this.#parts.log.warn({ error }, "a command could not be passed on");
      return false;
    });
    this.#note(command, accepted);
    return accepted;
  }

  /** What a unit says to a command: with the id of a device link's frame, or without one whatever is in flight. */
  async answered(uid: number, answer: CommandAnswer): Promise<void> {
    const { backplane, calls } = this.#parts;
    const node = answer.id === undefined ? await this.#nodeInFlight(uid) : await this.#nodeNamedIn(answer.id);
    if (node === backplane.node) return this.#answeredHere(uid, answer);
    if (node !== null) calls.answered(node, uid, answer);
  }

  /** Gives up on commands that were passed to nodes which are no more. */
  sweep(): Promise<void> {
    return this.#parts.calls.sweep();
  }

  async #pass(command: RemoteCommand): Promise<boolean> {
    const node = await this.#nodeOf(command.uid);
    const isHere = node === this.#parts.backplane.node;
    return (isHere ? this.#runHere(command) : this.#runThere(node, command)).accepted;
  }

  #note({ uid, cmd, asker }: RemoteCommand, accepted: boolean): void {
    const { audit, counters } = this.#parts;
    const result = accepted ? "sent" : "refused";
    audit.note({ user: asker.user, uid, action: cmd, result });
    counters.command(result);
  }

  async #nodeOf(uid: number): Promise<string> {
    const { links, backplane } = this.#parts;
    const link = await links.find(uid, "tracker");
    if (link) return link.node;
    if (!this.#options.traccar) return backplane.node;
    const nodes = (await backplane.presence.list(TRACCAR_NODES)).map(({ node }) => node).sort();
    return nodes[uid % Math.max(1, nodes.length)] ?? backplane.node;
  }

  async #nodeInFlight(uid: number): Promise<string> {
    return this.#units.get(uid)?.current ? this.#parts.backplane.node : this.#nodeOf(uid);
  }

  /** The node that sent a command: its link may have gone to another meanwhile. Null when it is no more. */
  async #nodeNamedIn(wireId: string): Promise<string | null> {
    const { node, topics } = this.#parts.backplane;
    const name = wireId.slice(0, wireId.indexOf(SEPARATOR));
    if (name === node) return node;
    return (await topics.nodes()).includes(name) ? name : null;
  }

  #runHere({ uid, cmd, cr, asker }: RemoteCommand): Run {
    const wireId = `${this.#parts.backplane.node}${SEPARATOR}${crypto.randomUUID()}`;
    const job = this.#queueOf(uid).take(wireId, cmd, cr, asker);
    return job ? { accepted: job.status.promise, ended: job.ended.promise } : refused;
  }

  /** A node that dies with a command in hand leaves its asker without a word: then he is told here (F-4.13). */
  #runThere(node: string, command: RemoteCommand): Run {
    const { calls, clock, answers } = this.#parts;
    const longest = longestStay(UPSTREAM_TIMEOUT + this.#options.timeout);
    const { accepted, ended } = calls.run(node, command, longest + PATIENCE);
    void accepted.then((isAccepted) => {
      if (!isAccepted) return;
      const silent = () => answers.fault(command.uid, [command.asker], "cmd-timeout");
      void ended.then(clock.after(this.#options.timeout + PATIENCE, silent));
    });
    return { accepted, ended };
  }

  async #answeredHere(uid: number, answer: CommandAnswer): Promise<void> {
    const { answers, log } = this.#parts;
    const job = this.#units.has(uid) ? this.#queueOf(uid).answered(answer.id) : null;
    try {
      await answers.give(uid, answer, job);
    } catch (error) {
      log.warn({ error }, "the answer to a command was not stored");
      if (job) answers.fault(uid, job.askers, "cmd-failed");
    }
  }

  #queueOf(uid: number): UnitQueue {
    const { clock, answers } = this.#parts;
    const commands = this.#units.get(uid) ?? noCommands();
    this.#units.set(uid, commands);
    const hooks = {
      dispatch: (job: Job) => this.#dispatch(uid, job),
      fault: (job: Job) => answers.fault(uid, job.askers, "cmd-timeout"),
    };
    return new UnitQueue(commands, hooks, clock, this.#options.timeout);
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
