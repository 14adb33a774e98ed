import * as v from "valibot";
import type { Loc } from "../record.ts";
import { DeviceLink } from "./device-link.ts";
import type { UnitEvents, UnitLogin } from "./tracker.ts";

const Message = v.object({ t: v.literal("msg"), id: v.string() });

const replies = ["On my way", "Gate is closed", "Delivered", "Traffic on the bridge"];
/** Milliseconds until a driver looks at his screen. */
const GLANCE = 3_000;

/** The app of a simulated driver: reads what he is sent, says what he delivers. */
export class DriverApp {
  readonly #link: DeviceLink;
  #items = 0;

  constructor(login: UnitLogin, events: UnitEvents) {
    this.#link = new DeviceLink(login, "pnd", events, (frame) => {
      const message = v.safeParse(Message, frame);
      if (message.success) this.#read(message.output.id);
    });
  }

  /** A stop has begun: what was delivered there, and a word about it. */
  deliver(loc: Loc): void {
    const stop = ++this.#items;
    this.#link.send({ t: "service", guid: guid(), id: `stop-${stop}`, delivered: true, msg: "Delivered", loc });
    const fld = { Client: `Client ${stop}`, Pieces: 1 + (stop % 7) };
    this.#link.send({ t: "form", guid: guid(), fnm: "Delivery note", fld, loc });
    this.#say(replies[stop % replies.length]!);
  }

  close(): void {
    this.#link.close();
  }

  #read(id: string): void {
    this.#link.send({ t: "msg-ack", id, state: "received" });
    const look = () => {
      this.#link.send({ t: "msg-ack", id, state: "read" });
      this.#say(replies[0]!);
    };
    setTimeout(look, GLANCE).unref();
  }

  #say(txt: string): void {
    this.#link.send({ t: "msg", guid: guid(), txt });
  }
}

const guid = () => crypto.randomUUID();
