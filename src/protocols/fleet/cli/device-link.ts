import type { UnitEvents, UnitLogin } from "./tracker.ts";

/** Milliseconds until a cut link is opened again, up to twice as many so that not all come at once. */
const PAUSE = 1_000;
/** Close codes after which a device stays away (F-7.8, F-7.10, F-7.13). */
const final = new Set([4401, 4409, 4509]);

type Heard = (frame: { readonly t?: unknown }) => void;

/** A simulated device's link (F-12.30), which comes back when it was cut. */
export class DeviceLink {
  readonly #url: string;
  readonly #hello: object;
  readonly #events: UnitEvents;
  readonly #heard: Heard;
  #socket: WebSocket;
  #isWanted = true;

  constructor(login: UnitLogin, role: "tracker" | "pnd", events: UnitEvents, heard: Heard) {
    const { url, unit, key, pndKey } = login;
    this.#url = `${url.replace(/^http/, "ws")}/fleet/device`;
    this.#hello = { t: "hello", unit, role, key: role === "tracker" ? key : pndKey };
    this.#events = events;
    this.#heard = heard;
    this.#socket = this.#open();
  }

  /** False while there is no link. */
  send(frame: object): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  close(): void {
    this.#isWanted = false;
    this.#socket.close();
  }

  #open(): WebSocket {
    const socket = new WebSocket(this.#url);
    socket.onopen = () => this.send(this.#hello);
    socket.onmessage = ({ data }) => this.#heard(JSON.parse(String(data)) as { t?: unknown });
    socket.onclose = ({ code, reason }) => {
      if (!this.#isWanted) return;
      this.#events.failed(`${code} ${reason}`.trim());
      if (!final.has(code)) setTimeout(() => this.#reopen(), PAUSE * (1 + Math.random())).unref();
    };
    return socket;
  }

  #reopen(): void {
    if (this.#isWanted) this.#socket = this.#open();
  }
}
