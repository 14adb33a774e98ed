import type { Socket, SocketOwner } from "../websocket.ts";
import { RawChannel } from "./channel.ts";
import type { ChannelEnd } from "./endpoint.ts";
import type { Beating } from "./heartbeat.ts";
import type { Hub } from "./hub.ts";
import { type Frame, Inbox, OVERSIZE } from "./inbox.ts";

/**
 * The receiving side of one socket: takes Bun's events and hands frames to the endpoint strictly one after the other
 * (Bun itself runs the async handlers of one socket concurrently). A frame that comes while none is in work goes
 * straight through; the inbox exists only while frames wait.
 */
export class Connection implements SocketOwner, Beating {
  readonly channel: RawChannel;
  slot = 0;
  heard = 0;
  readonly #hub: Hub;
  /** Dropped once `opened` has it. */
  #request: Request | undefined;
  readonly #refused: "drain" | "full" | undefined;
  #inbox: Inbox | undefined;
  /** Whether the endpoint knows of the channel, and so is told of its end. */
  #known = false;
  #end: ChannelEnd | undefined;

  /** A `refused` one is told so and closed as soon as it is open, without a word to the endpoint's hooks. */
  constructor(hub: Hub, request: Request, address: string, refused: "drain" | "full" | undefined) {
    this.#hub = hub;
    this.#request = request;
    this.#refused = refused;
    this.channel = new RawChannel(hub, request.url, address);
  }

  /** Runs `arriving`; undefined when the upgrade has nothing to wait for. */
  arrive(request: Request): Promise<void> | undefined {
    const { endpoint } = this.#hub;
    if (this.#refused || this.#hub.draining || !endpoint.arriving) return undefined;
    this.#known = true;
    return this.#run(() => endpoint.arriving?.(this.channel, request));
  }

  /** The client left before the upgrade. */
  abandoned(): void {
    this.#end = this.channel.ended({ code: 1006, reason: "", by: "client" });
    this.#sayEnd();
  }

  open(ws: Socket): void {
    const { endpoint } = this.#hub;
    const request = this.#request;
    this.#request = undefined;
    this.#hub.joined(this);
    this.channel.attach(ws);
    const refused = this.#refused ?? (this.#hub.draining ? "drain" : undefined);
    if (refused) {
      const { code, reason } = endpoint.closes[refused];
      this.channel.close(code, reason, this.#hub.lastFrame(this.channel, code, reason));
    }
    if (!request || !this.channel.open) return;
    this.#known = true;
    this.channel.busy = true;
    this.#proceed(this.#run(() => endpoint.opened(this.channel, request)));
  }

  message(ws: Socket, data: string | Buffer): void {
    this.heard = this.#hub.heartbeat.turn;
    if (!this.channel.open) return;
    const { endpoint, meters } = this.#hub;
    meters.received.value++;
    const frame = larger(data, endpoint.limits.maxFrameBytes) ? OVERSIZE : data;
    if (this.channel.busy) {
      this.#inbox ??= new Inbox();
      this.#inbox.add(frame);
      if (this.#inbox.length >= endpoint.limits.maxInbox) ws.pause();
      return;
    }
    this.channel.busy = true;
    this.#proceed(this.#handle(frame));
  }

  drain(): void {
    this.channel.flushed();
  }

  pong(): void {
    this.heard = this.#hub.heartbeat.turn;
  }

  close(_ws: Socket, code: number, reason: string): void {
    this.#end = this.channel.ended(seenEnd(code, reason));
    this.#hub.left(this, this.#end);
    if (!this.channel.busy) this.#sayEnd();
  }

  ping(): void {
    this.channel.socket?.ping();
  }

  lost(): void {
    // What a paused peer sends is not read, its pongs included. A channel that ends already has a limit of its own.
    if (!this.channel.open || this.channel.socket?.isPaused) return;
    const { code, reason } = this.#hub.endpoint.closes.noPong;
    this.channel.close(code, reason, this.#hub.lastFrame(this.channel, code, reason));
  }

  /** Goes on from a hook or frame that was begun: at once when it is done, else when it is. */
  #proceed(pending: Promise<void> | undefined): void {
    if (pending) void this.#work(pending);
    else this.#rest();
  }

  /** Waits for what is in work, then for each frame that came meanwhile. Never rejects. */
  async #work(pending: Promise<void>): Promise<void> {
    for (let work: Promise<void> | undefined = pending; work; work = this.#next()) await work;
    this.#rest();
  }

  /** Nothing is in work, nothing waits. */
  #rest(): void {
    this.channel.busy = false;
    this.channel.idle();
    if (this.#end) this.#sayEnd();
  }

  /** Handles what waits, until a handler needs time or nothing waits any more. */
  #next(): Promise<void> | undefined {
    for (;;) {
      const frame = this.channel.discarding ? undefined : this.#inbox?.take();
      if (this.#inbox === undefined || frame === undefined) {
        this.#inbox = undefined;
        return undefined;
      }
      const socket = this.channel.socket;
      const room = this.#inbox.length <= this.#hub.endpoint.limits.maxInbox / 2;
      if (room && socket?.isPaused && !this.channel.leaving) {
        socket.resume();
        // Its pongs of the meantime are still to be read.
        this.heard = this.#hub.heartbeat.turn;
      }
      const pending = this.#handle(frame);
      if (pending) return pending;
    }
  }

  #handle(frame: Frame): Promise<void> | undefined {
    const { endpoint, meters } = this.#hub;
    if (frame === OVERSIZE) {
      if (endpoint.oversize) return this.#run(() => endpoint.oversize?.(this.channel));
      return this.#run(() => this.channel.close(1009, "Message too big"));
    }
    const began = performance.now();
    const pending = this.#run(() => endpoint.received(this.channel, frame));
    const done = () => meters.handling.observe((performance.now() - began) / 1000);
    if (pending) return pending.then(done);
    done();
    return undefined;
  }

  /** Runs a hook of the endpoint. The promise, if it needs time, never rejects: a fault is the hub's to handle. */
  #run(hook: () => void | Promise<void>): Promise<void> | undefined {
    try {
      const result = hook();
      if (result instanceof Promise) return result.catch((error) => this.#hub.failed(this.channel, error));
    } catch (error) {
      this.#hub.failed(this.channel, error);
    }
    return undefined;
  }

  #sayEnd(): void {
    const end = this.#end;
    if (!end || !this.#known) return;
    this.#known = false;
    void this.#run(() => this.#hub.endpoint.closed?.(this.channel, end));
  }
}

/** Whether a frame takes more than `max` bytes. UTF-8 is counted only where its length is in doubt. */
function larger(frame: string | Uint8Array, max: number): boolean {
  if (typeof frame !== "string") return frame.byteLength > max;
  return frame.length > max || (frame.length * 3 > max && Buffer.byteLength(frame) > max);
}

/**
 * What Bun reports as the end of a socket. When Bun itself closes one for breaking the protocol it reports 1006 with a
 * sentence, and not the code that it sent.
 */
function seenEnd(code: number, reason: string): ChannelEnd {
  if (code !== 1006 || !reason.startsWith("Received ")) return { code, reason, by: "client" };
  const sent = reason.includes("UTF-8") ? 1007 : reason.includes("too big message") ? 1009 : 1002;
  return { code: sent, reason, by: "server" };
}
