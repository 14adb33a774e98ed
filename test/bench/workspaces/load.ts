import { textFrame } from "../client/frames.ts";
import { WireSocket } from "../client/wire-socket.ts";
import { Samples } from "../statistics.ts";
import type { BenchUser } from "./prepare.ts";

const CONNECT = textFrame("40");
const PONG = textFrame("3");
/** Sockets that may be opening at the same time. */
const CONCURRENCY = 32;
const MEDIA = JSON.stringify({ microphone: true, speakers: true, screen: false, camera: false, speaking: false });
/** What each person does in turn: all of a workspace hear of each. */
const STEPS = ["select", "idle", "unselect", "online"] as const;

/** One person of the load with his socket. */
class Actor extends WireSocket {
  readonly user: BenchUser;
  readonly #load: WorkspaceLoad;
  id = "";
  step = 0;
  /** When his action under way was asked for, on the clock of `performance`. */
  started = 0;
  /** Who of his workspace has not heard of it. */
  due = 0;
  heard: (() => void) | null = null;

  constructor(load: WorkspaceLoad, user: BenchUser, port: number) {
    super({ port, path: "/socket.io/?EIO=4&transport=websocket" });
    this.#load = load;
    this.user = user;
  }

  protected override text(chunk: Buffer, start: number, length: number, now: number): void {
    const text = chunk.toString("latin1", start, start + length);
    if (text.startsWith('42["online-status-updated"') || text.startsWith('42["user-')) this.#load.delivered(text, now);
    else if (text.startsWith("0")) this.send(CONNECT);
    else if (text.startsWith("2")) this.send(PONG);
    else if (text.startsWith("40")) this.#authenticate(text);
    else if (text.startsWith('42["auth-success"')) this.answer();
    else if (!text.startsWith('42["my-online')) this.fail(`unexpected frame ${text}`);
  }

  protected override fault(reason: string): void {
    this.#load.faults.push(reason);
  }

  #authenticate(text: string): void {
    this.id = (JSON.parse(text.slice(2)) as { sid: string }).sid;
    const { token, workspace } = this.user;
    this.send(textFrame(`42["auth",${JSON.stringify({ token, workspaceId: workspace })}]`));
  }
}

/** People who enter and leave channels and change their status, each heard by everybody in the workspace. */
export class WorkspaceLoad {
  readonly faults: string[] = [];
  latencies = new Samples();
  /** Events that arrived so far. */
  events = 0;
  readonly #port: number;
  readonly #members: number;
  readonly #actors: Actor[];
  readonly #byUser = new Map<string, Actor>();

  constructor(port: number, users: readonly BenchUser[], members: number) {
    this.#port = port;
    this.#members = members;
    this.#actors = users.map((user) => new Actor(this, user, port));
    for (const actor of this.#actors) this.#byUser.set(actor.user.id, actor);
  }

  async open(): Promise<void> {
    let next = 0;
    const lane = async () => {
      while (next < this.#actors.length) await this.#actors[next++]!.open();
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, lane));
    // Later arrivals were told to those before; all of that is in once a moment passes without an event.
    for (let seen = -1; seen !== this.events; ) {
      seen = this.events;
      await Bun.sleep(200);
    }
    this.events = 0;
  }

  /** An event about somebody has reached one of his workspace. */
  delivered(text: string, now: number): void {
    this.events++;
    const at = text.indexOf('"userId":"') + 10;
    const actor = this.#byUser.get(text.slice(at, at + 36));
    if (!actor?.heard) return;
    this.latencies.add(now - actor.started);
    if (--actor.due === 0) actor.heard();
  }

  /** So many actions always under way for so many seconds; resolves to the events a second. */
  async saturate(underWay: number, seconds: number): Promise<number> {
    const before = this.events;
    const started = performance.now();
    const ends = started + seconds * 1000;
    let next = 0;
    const lane = async () => {
      while (performance.now() < ends) {
        // Neighbours in time are in different workspaces.
        const turn = next++;
        const spaces = this.#actors.length / this.#members;
        const index = (turn % spaces) * this.#members + (Math.floor(turn / spaces) % this.#members);
        await this.#act(this.#actors[index]!);
      }
    };
    await Promise.all(Array.from({ length: underWay }, lane));
    return ((this.events - before) / (performance.now() - started)) * 1000;
  }

  async close(): Promise<void> {
    await Promise.all(this.#actors.map((actor) => actor.close()));
    if (this.faults.length > 0) throw new Error(this.faults.slice(0, 5).join("; "));
  }

  async #act(actor: Actor): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    actor.due = this.#members;
    actor.heard = resolve;
    actor.started = performance.now();
    const step = STEPS[actor.step++ % STEPS.length]!;
    const { channel, token } = actor.user;
    const moving = step === "select" || step === "unselect";
    const path = moving ? `/channels/${channel}/${step}` : "/user/online-status";
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}?socketId=${actor.id}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: step === "select" ? MEDIA : moving ? "{}" : JSON.stringify({ onlineStatus: step }),
    });
    const answer = await response.text();
    if (response.status !== 200) throw new Error(`${step} was answered ${response.status}: ${answer}`);
    await promise;
    actor.heard = null;
  }
}
