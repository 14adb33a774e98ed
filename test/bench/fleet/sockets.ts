import { textFrame } from "../client/frames.ts";
import { WireSocket } from "../client/wire-socket.ts";
import type { Samples } from "../statistics.ts";
import type { WatcherLogin } from "./server.ts";

/** What the sockets of the load have seen so far. */
export interface Seen {
  /** Frames of records that were acknowledged. */
  acknowledged: number;
  /** Frames that watchers got. */
  frames: number;
  readonly faults: string[];
}

/** A tracker on its link. */
export class Tracker extends WireSocket {
  readonly #seen: Seen;
  readonly #hello: string;
  #welcome = false;

  constructor(port: number, unit: string, seen: Seen) {
    super({ port, path: "/fleet/device" });
    this.#seen = seen;
    this.#hello = JSON.stringify({ t: "hello", unit, role: "tracker" });
  }

  /** Sends records, each as JSON, as one frame; the acknowledgement is counted. */
  report(seq: number, records: readonly string[]): void {
    this.send(textFrame(`{"t":"records","seq":${seq},"records":[${records.join()}]}`));
  }

  protected override upgraded(): void {
    this.send(textFrame(this.#hello));
  }

  protected override text(chunk: Buffer, start: number, length: number): void {
    const text = chunk.toString("latin1", start, start + length);
    if (!this.#welcome && text.startsWith('{"t":"welcome"')) {
      this.#welcome = true;
      this.answer();
    } else if (text.startsWith('{"t":"ack"') && !text.includes("rejected")) this.#seen.acknowledged++;
    else this.fail(`unexpected frame ${text}`);
  }

  protected override fault(reason: string): void {
    this.#seen.faults.push(reason);
  }
}

const RECORDS = '"type":"records"';
const AT = '"at":';

/** A watcher. Only of one with `latencies` frames are read; the others' are counted, since reading costs the load more. */
export class Watcher extends WireSocket {
  readonly #seen: Seen;
  readonly #auth: string;
  readonly #latencies: Samples | null;
  #welcome = false;

  constructor(port: number, login: WatcherLogin, seen: Seen, latencies: Samples | null) {
    super({ port, path: "/fleet/ws" });
    this.#seen = seen;
    this.#auth = JSON.stringify({ type: "auth", query: login });
    this.#latencies = latencies;
  }

  protected override upgraded(): void {
    this.send(textFrame(this.#auth));
  }

  protected override text(chunk: Buffer, start: number, length: number, now: number): void {
    if (!this.#welcome) {
      this.#first(chunk.toString("latin1", start, start + length));
      return;
    }
    this.#seen.frames++;
    if (!this.#latencies) return;
    const text = chunk.toString("latin1", start, start + length);
    // The moment of sending stands in the record, so nothing has to be remembered.
    const at = text.includes(RECORDS) ? text.indexOf(AT) : -1;
    if (at !== -1) this.#latencies.add(now - Number.parseFloat(text.slice(at + AT.length)));
  }

  protected override fault(reason: string): void {
    this.#seen.faults.push(reason);
  }

  #first(text: string): void {
    if (text === '{"params":{"type":"auth","success":true}}') {
      this.#welcome = true;
      this.answer();
    } else this.fail(`unexpected frame ${text}`);
  }
}
