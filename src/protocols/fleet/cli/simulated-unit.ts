import * as v from "valibot";
import { Vehicle } from "./vehicle.ts";

/** How a simulated unit reaches its gateway. */
export interface UnitLogin {
  readonly unit: string;
  readonly key: string;
  readonly pndKey: string;
}

/** Told of what goes on. */
export interface UnitEvents {
  acknowledged(): void;
  closed(reason: string): void;
}

const Command = v.object({ t: v.literal("cmd"), id: v.string(), cmd: v.string() });
const Message = v.object({ t: v.literal("msg"), id: v.string() });

const replies = ["On my way", "Gate is closed", "Delivered", "Traffic on the bridge"];

/** A vehicle with a tracker and a driver's app, on two device links. */
export class SimulatedUnit {
  readonly #vehicle: Vehicle;
  readonly #tracker: WebSocket;
  readonly #app: WebSocket;
  #seq = 0;
  #items = 0;

  constructor(number: number, url: string, login: UnitLogin, events: UnitEvents) {
    const { unit, key, pndKey } = login;
    this.#vehicle = new Vehicle(number);
    this.#tracker = open(url, { t: "hello", unit, role: "tracker", key }, events, (frame) => {
      if (frame.t === "ack") events.acknowledged();
      const command = v.safeParse(Command, frame);
      if (command.success) this.#answer(command.output.id, command.output.cmd);
    });
    this.#app = open(url, { t: "hello", unit, role: "pnd", key: pndKey }, events, (frame) => {
      const message = v.safeParse(Message, frame);
      if (message.success) this.#read(message.output.id);
    });
  }

  /** Lets time pass and reports; false while there is no link. */
  report(now: number, seconds: number): boolean {
    const { rec, delivery } = this.#vehicle.step(now, seconds);
    if (this.#tracker.readyState !== WebSocket.OPEN) return false;
    send(this.#tracker, { t: "records", seq: ++this.#seq, records: [rec] });
    if (!delivery) return true;
    const item = `${now}-${++this.#items}`;
    send(this.#app, {
      t: "service",
      guid: item,
      id: `stop-${this.#items}`,
      delivered: true,
      msg: "Delivered",
      loc: rec.loc,
    });
    const fld = { Client: `Client ${this.#items}`, Pieces: 1 + (this.#items % 7) };
    send(this.#app, { t: "form", guid: `${item}-form`, fnm: "Delivery note", fld, loc: rec.loc });
    send(this.#app, { t: "msg", guid: `${item}-msg`, txt: replies[this.#items % replies.length], loc: rec.loc });
    return true;
  }

  close(): void {
    this.#tracker.close();
    this.#app.close();
  }

  #answer(id: string, cmd: string): void {
    const levels = Object.entries(this.#vehicle.io).map(([number, level]) => `DI${number}:${level}`);
    const text = cmd.toLowerCase().startsWith("getio") ? levels.join(" ") : `${cmd}: OK`;
    send(this.#tracker, { t: "cmd-result", id, ok: true, text });
  }

  #read(id: string): void {
    send(this.#app, { t: "msg-ack", id, state: "received" });
    send(this.#app, { t: "msg-ack", id, state: "read" });
  }
}

function open(
  url: string,
  hello: object,
  events: UnitEvents,
  heard: (frame: { readonly t?: unknown }) => void,
): WebSocket {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/fleet/device`);
  socket.onopen = () => send(socket, hello);
  socket.onmessage = ({ data }) => heard(JSON.parse(String(data)) as { t?: unknown });
  socket.onclose = ({ code, reason }) => events.closed(`${code} ${reason}`.trim());
  return socket;
}

function send(socket: WebSocket, frame: object): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}
