import { EVENTS } from "./client.ts";
import { RawSocket } from "./raw.ts";
import { draft, type Room } from "./stage.ts";

/** Messages that a talker has under way at any time. */
export const UNDER_WAY = 10;

/**
 * Somebody who always has some messages under way, and repeats one under its own name until it has come back to him:
 * after a refusal, and when he is connected again.
 */
export class Talker {
  readonly room: Room;
  /** What came back to him as `new_message`. */
  readonly echoed = new Set<string>();
  /** Codes of refusals. */
  readonly refused: string[] = [];
  #said = 0;
  /** What has not come back yet, by its name. */
  readonly #open = new Map<string, string>();
  #socket: RawSocket | null = null;
  #stopped = false;

  constructor(room: Room) {
    this.room = room;
  }

  /** Everything he ever said. */
  get said(): string[] {
    return Array.from({ length: this.#said }, (_, index) => `message ${index}`);
  }

  /** Talks until the socket ends or, after `stop`, until everything has come back. */
  async talk(url: string): Promise<void> {
    const { id, token } = this.room.buyer;
    const socket = await RawSocket.join(url, { token, user_id: id, user_role: "BUYER" });
    this.#socket = socket;
    for (const name of this.#open.keys()) this.#send(name);
    while (this.#open.size < UNDER_WAY) this.#say();
    while (this.#open.size > 0) {
      const frame = await socket.next();
      if (frame === null) return;
      if (frame.startsWith(`42${EVENTS},`)) await this.#take(JSON.parse(frame.slice(frame.indexOf("["))));
    }
    socket.close();
  }

  /** Says nothing new. */
  stop(): void {
    this.#stopped = true;
  }

  async #take([event, payload]: [string, Record<string, string>]): Promise<void> {
    const name = payload.client_message_id ?? "";
    if (event === "new_message") {
      this.echoed.add(payload.content ?? "");
      this.#open.delete(name);
      if (!this.#stopped) this.#say();
    } else if (event === "error_message") {
      this.refused.push(payload.code ?? "");
      // Not at once: what is away is not back in a moment.
      await Bun.sleep(50);
      this.#send(name);
    }
  }

  #say(): void {
    const name = `name ${this.#said}`;
    this.#open.set(name, `message ${this.#said++}`);
    this.#send(name);
  }

  #send(name: string): void {
    const content = this.#open.get(name);
    if (content === undefined) return;
    const message = draft(this.room, "buyer", content, { client_message_id: name });
    this.#socket?.send(`42${EVENTS},${JSON.stringify(["new_message", message])}`);
  }
}

/** Somebody who only listens. */
export async function listen(url: string, { seller }: Room): Promise<{ heard: string[]; over: Promise<void> }> {
  const socket = await RawSocket.join(url, { token: seller.token, user_id: seller.id, user_role: "SELLER" });
  const heard: string[] = [];
  const over = (async () => {
    for (let frame = await socket.next(); frame !== null; frame = await socket.next()) {
      if (frame.startsWith(`42${EVENTS},["new_message"`))
        heard.push(JSON.parse(frame.slice(frame.indexOf("[")))[1].content);
    }
  })();
  return { heard, over };
}
