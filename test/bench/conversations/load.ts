import { Samples } from "../statistics.ts";

const NAMESPACE = "/v1/conversations/events";
/** Milliseconds without a delivery after which a load is given up although messages are under way. */
const STALLED_AFTER = 30_000;

/** Somebody connected to the chat. */
interface Person {
  readonly socket: WebSocket;
  readonly id: string;
}

/** One room: its buyer talks, its seller is waited for. */
export interface BenchRoom {
  readonly id: string;
  readonly buyer: string;
  readonly seller: string;
}

/** Rooms of two people each, all connected, and what they say to each other. */
export class ChatLoad {
  /** Milliseconds from send to delivery at the other side. */
  latencies = new Samples();
  delivered = 0;
  readonly faults: string[] = [];
  readonly #port: number;
  readonly #rooms: readonly BenchRoom[];
  readonly #token: (user: string) => Promise<string>;
  readonly #buyers: Person[] = [];
  readonly #people: Person[] = [];
  /** When each message went out, by its number. */
  readonly #sentAt = new Map<number, number>();
  #sent = 0;
  /** Called with the room of each delivery. */
  #onDelivery: (room: number) => void = () => {};

  constructor(port: number, rooms: readonly BenchRoom[], token: (user: string) => Promise<string>) {
    this.#port = port;
    this.#rooms = rooms;
    this.#token = token;
  }

  async open(): Promise<void> {
    for (const [index, room] of this.#rooms.entries()) {
      this.#people.push(await this.#connect(room.seller, "SELLER", (text) => this.#take(index, text)));
      const buyer = await this.#connect(room.buyer, "BUYER", () => {});
      this.#people.push(buyer);
      this.#buyers.push(buyer);
    }
  }

  /** As many messages a second as get through with so many always under way in each room; returns messages a second. */
  async saturate(underWay: number, seconds: number): Promise<number> {
    let stopped = false;
    this.#onDelivery = (room) => {
      if (!stopped) this.#send(room);
    };
    for (let i = 0; i < underWay; i++) for (const room of this.#rooms.keys()) this.#send(room);
    const [before, started] = [this.delivered, performance.now()];
    await Bun.sleep(seconds * 1000);
    const rate = (this.delivered - before) / ((performance.now() - started) / 1000);
    stopped = true;
    await this.settled();
    return rate;
  }

  /** Sends by the clock, whatever has arrived, the rooms in turn. */
  async pace(rate: number, seconds: number): Promise<void> {
    this.#onDelivery = () => {};
    const started = performance.now();
    const all = Math.floor(rate * seconds);
    for (let sent = 0; sent < all; ) {
      const due = Math.min(all, Math.floor(((performance.now() - started) / 1000) * rate));
      for (; sent < due; sent++) this.#send(sent % this.#rooms.length);
      await Bun.sleep(1);
    }
    await this.settled();
  }

  /** Resolves when everything sent has been delivered. Throws when deliveries stop before that. */
  async settled(): Promise<void> {
    for (let quiet = performance.now(), seen = this.delivered; this.delivered < this.#sent; await Bun.sleep(1)) {
      if (this.delivered > seen) [quiet, seen] = [performance.now(), this.delivered];
      if (performance.now() - quiet > STALLED_AFTER) throw new Error(`${this.#sent - this.delivered} never arrived`);
    }
  }

  /** Closes all sockets; throws when something was not as it should be. */
  close(): void {
    for (const { socket } of this.#people) {
      socket.onclose = null;
      socket.close();
    }
    if (this.faults.length > 0) throw new Error(this.faults.slice(0, 5).join("; "));
  }

  #send(room: number): void {
    const { id, buyer, seller } = this.#rooms[room]!;
    const number = this.#sent++;
    this.#sentAt.set(number, performance.now());
    const message = { room_id: id, from: buyer, to: seller, type: "TEXT", content: `message ${number} of the load` };
    this.#buyers[room]!.socket.send(`42${NAMESPACE},${JSON.stringify(["new_message", message])}`);
  }

  #take(room: number, text: string): void {
    const now = performance.now();
    const number = Number(/message (\d+) of/.exec(text)?.[1] ?? Number.NaN);
    const sentAt = this.#sentAt.get(number);
    if (sentAt === undefined) {
      this.faults.push(`unexpected ${text.slice(0, 200)}`);
      return;
    }
    this.#sentAt.delete(number);
    this.latencies.add(now - sentAt);
    this.delivered++;
    this.#onDelivery(room);
  }

  async #connect(id: string, role: string, message: (text: string) => void): Promise<Person> {
    const token = await this.#token(id);
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}/v1/conversations/sockets/?EIO=4&transport=websocket`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.onclose = ({ code }) => {
      this.faults.push(`closed with ${code}`);
      reject(new Error(`closed with ${code}`));
    };
    socket.onmessage = ({ data }) => {
      const frame = String(data);
      if (frame.startsWith(`42${NAMESPACE},["new_message"`)) message(frame);
      else if (frame[0] === "0")
        socket.send(`40${NAMESPACE},${JSON.stringify({ token, user_id: id, user_role: role })}`);
      else if (frame === "2") socket.send("3");
      else if (frame.startsWith("40")) resolve();
      else if (frame.includes("error_message") || frame.startsWith("44")) this.faults.push(frame.slice(0, 200));
    };
    await promise;
    return { socket, id };
  }
}
