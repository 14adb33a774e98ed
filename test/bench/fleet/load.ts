import { Vehicle } from "../../../src/protocols/fleet/cli/vehicle.ts";
import { percentile, Samples } from "../statistics.ts";
import type { FleetGateway } from "./gateway.ts";

const UNITS = 1_000;
const WATCHERS = 50;
const UNITS_OF_A_WATCHER = 200;
/** Milliseconds between two turns of sending. */
const TURN = 10;
/** Watchers whose frames are read; the others' are only counted, since reading costs the client more than the server. */
const READ = 2;

/** What a step of load came to. */
export interface StepResult {
  /** Records a second that were acknowledged. */
  readonly rate: number;
  /** Milliseconds from sending a record until a watcher has it. */
  readonly p50: number;
  readonly p99: number;
  /** Microseconds of the gateway's CPU for each record. */
  readonly cpu: number;
  /** Records that were sent and not acknowledged at the end of the step. */
  readonly behind: number;
}

/** A thousand vehicles on their links and fifty watchers, against one gateway. */
export class FleetLoad {
  readonly #gateway: FleetGateway;
  readonly #trackers: WebSocket[] = [];
  readonly #watchers: WebSocket[] = [];
  readonly #vehicles = Array.from({ length: UNITS }, (_, number) => new Vehicle(number));
  readonly #latencies = new Samples();
  #sent = 0;
  #acknowledged = 0;
  #frames = 0;
  #closed = 0;

  constructor(gateway: FleetGateway) {
    this.#gateway = gateway;
  }

  /** Connects everybody. */
  async open(): Promise<void> {
    const uids = await this.#gateway.units(UNITS);
    const base = this.#gateway.url.replace(/^http/, "ws");
    for (let watcher = 0; watcher < WATCHERS; watcher++) {
      const first = (watcher * UNITS_OF_A_WATCHER) % UNITS;
      const login = await this.#gateway.watcher(watcher, uids.slice(first, first + UNITS_OF_A_WATCHER));
      const heard = watcher < READ ? (text: string) => this.#read(text) : () => this.#frames++;
      this.#watchers.push(await this.#connect(`${base}/fleet/ws`, { type: "auth", query: login }, heard));
    }
    for (let unit = 1; unit <= UNITS; unit++) {
      const hello = { t: "hello", unit: `load-${unit}`, role: "tracker" };
      this.#trackers.push(await this.#connect(`${base}/fleet/device`, hello, () => this.#acknowledged++));
    }
  }

  /** Sends records at a rate, spread over all vehicles, for some seconds. */
  async step(rate: number, seconds: number): Promise<StepResult> {
    this.#latencies.clear();
    const [sent, acknowledged] = [this.#sent, this.#acknowledged];
    const before = this.#gateway.usage().cpu;
    const started = performance.now();
    for (let due = started; performance.now() - started < seconds * 1000; due += TURN) {
      const wanted = ((performance.now() - started) / 1000) * rate;
      while (this.#sent - sent < wanted) this.#send();
      await Bun.sleep(Math.max(0, due + TURN - performance.now()));
    }
    const elapsed = (performance.now() - started) / 1000;
    const done = this.#acknowledged - acknowledged;
    const cpu = this.#gateway.usage().cpu - before;
    const behind = this.#sent - this.#acknowledged;
    // The next step begins with nothing under way.
    for (let looks = 0; this.#acknowledged < this.#sent && looks < 3_000; looks++) await Bun.sleep(10);
    const sorted = this.#latencies.sorted();
    if (this.#closed > 0) throw new Error(`${this.#closed} sockets were closed`);
    return {
      ...{ rate: done / elapsed, behind, cpu: (cpu / done) * 1e6 },
      ...{ p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) },
    };
  }

  close(): void {
    this.#closed = Number.NEGATIVE_INFINITY;
    for (const socket of [...this.#trackers, ...this.#watchers]) socket.close();
  }

  #send(): void {
    const index = this.#sent++ % UNITS;
    const { rec } = this.#vehicles[index]!.step(Date.now(), 1);
    const exd = { ...rec.exd, at: performance.now() };
    // One after the other within the same millisecond must not count as doubles.
    const record = { ...rec, exd, index: this.#sent };
    this.#trackers[index]!.send(JSON.stringify({ t: "records", seq: this.#sent, records: [record] }));
  }

  /** The moment of sending stands in the record, so nothing has to be remembered. */
  #read(text: string): void {
    this.#frames++;
    const at = text.indexOf('"at":');
    if (at !== -1 && text.includes('"records"'))
      this.#latencies.add(performance.now() - Number.parseFloat(text.slice(at + 5)));
  }

  /** Opens a socket and waits for the answer to its first frame. */
  #connect(url: string, first: object, heard: (text: string) => void): Promise<WebSocket> {
    const socket = new WebSocket(url);
    const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
    socket.onopen = () => socket.send(JSON.stringify(first));
    socket.onerror = () => reject(new Error(`cannot open ${url}`));
    socket.onclose = () => this.#closed++;
    socket.onmessage = () => {
      socket.onmessage = ({ data }) => heard(String(data));
      resolve(socket);
    };
    return promise;
  }
}
