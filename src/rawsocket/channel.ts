import type { Cancel } from "../clock.ts";
import type { Socket } from "../websocket.ts";
import type { Channel, ChannelEnd } from "./endpoint.ts";
import type { Hub } from "./hub.ts";

/**
 * Milliseconds a peer has to read what was sent before the close. One that has read everything but does not answer the
 * close frame is cut off by Bun itself, after 4 s.
 */
const LINGER = 5_000;

/** Ids are unique over all nodes: a random part for this run of this process, and a number. */
const run = crypto.randomUUID().slice(0, 13);
let channels = 0;

/** An end that waits for the frames in work. */
interface Finish {
  readonly done: PromiseWithResolvers<void>;
  readonly close: () => void;
}

/** The sending side of one socket, and what a protocol holds of it. Small on purpose: most channels are idle. */
export class RawChannel implements Channel<unknown> {
  session: unknown = undefined;
  readonly address: string;
  /** True while `opened` or a frame is in work; set by the connection. */
  busy = false;
  /** True when frames that wait must not be handled any more. */
  discarding = false;
  readonly #hub: Hub;
  readonly #number = ++channels;
  readonly #href: string;
  #socket: Socket | undefined;
  #end: ChannelEnd | undefined;
  #finish: Finish | undefined;
  #timers: Set<Cancel> | undefined;
  /** What was asked of the channel before its upgrade. */
  #early: { calls: (() => void)[]; bytes: number } | undefined;

  constructor(hub: Hub, href: string, address: string) {
    this.#hub = hub;
    this.#href = href;
    this.address = address;
  }

  /** Made when it is asked for: most idle channels never need it as text. */
  get id(): string {
    return `${run}-${this.#number.toString(36)}`;
  }

  get url(): URL {
    return new URL(this.#href);
  }

  get open(): boolean {
    return this.#socket !== undefined && this.#end === undefined;
  }

  /** The socket while there is one. */
  get socket(): Socket | undefined {
    return this.#socket;
  }

  /** True from the moment its end is decided. */
  get leaving(): boolean {
    return this.#end !== undefined || this.#finish !== undefined;
  }

  send(text: string): void {
    if (this.#end) return;
    if (this.#socket) {
      this.#hub.meters.sent.value++;
      // Not positive: the frame waits in the outbox, or was dropped because even Bun's own limit is passed.
      if (this.#socket.send(text) <= 0) this.checkOutbox();
    } else this.#later(() => this.send(text), text.length);
  }

  sendAll(texts: readonly string[]): void {
    const socket = this.#socket;
    if (this.#end) return;
    if (!socket || texts.length === 1) {
      for (const text of texts) this.send(text);
      return;
    }
    this.#hub.meters.sent.value += texts.length;
    socket.cork(() => {
      for (const text of texts) socket.send(text);
    });
    // What a corked socket could not write shows only now.
    this.checkOutbox();
  }

  /** Ends the channel as a slow reader when too much waits in its outbox. Returns the bytes that wait. */
  checkOutbox(): number {
    const bytes = this.open ? (this.#socket?.getBufferedAmount() ?? 0) : 0;
    if (bytes > this.#hub.endpoint.limits.maxOutboxBytes) this.#endSlow();
    return bytes;
  }

  close(code: number, reason: string, lastFrame?: string): void {
    if (this.#end) return;
    this.discarding = true;
    if (this.#socket) this.#shut(this.#socket, code, reason, lastFrame);
    else this.#later(() => this.close(code, reason, lastFrame), 0);
  }

  finish(within: number, code: number, reason: string, lastFrame?: string): Promise<void> {
    if (this.#finish) return this.#finish.done.promise;
    const socket = this.#socket;
    if (this.#end || !socket || !this.busy) {
      this.close(code, reason, lastFrame);
      return Promise.resolve();
    }
    socket.pause();
    const close = () => this.#shut(socket, code, reason, lastFrame);
    this.after(within, close);
    this.#finish = { done: Promise.withResolvers<void>(), close };
    return this.#finish.done.promise;
  }

  subscribe(topic: string): void {
    if (this.#end) return;
    if (this.#socket) this.#socket.subscribe(this.#hub.topicPrefix + topic);
    else this.#later(() => this.subscribe(topic), topic.length);
  }

  unsubscribe(topic: string): void {
    if (this.#end) return;
    if (this.#socket) this.#socket.unsubscribe(this.#hub.topicPrefix + topic);
    else this.#later(() => this.unsubscribe(topic), topic.length);
  }

  after(ms: number, task: () => void): Cancel {
    if (this.#end) return () => {};
    this.#timers ??= new Set();
    const timers = this.#timers;
    const stop = this.#hub.clock.after(ms, () => {
      timers.delete(stop);
      try {
        task();
      } catch (error) {
        this.#hub.failed(this, error);
      }
    });
    timers.add(stop);
    return () => {
      timers.delete(stop);
      stop();
    };
  }

  /** The upgrade is through: does what was asked for before. */
  attach(socket: Socket): void {
    this.#socket = socket;
    const calls = this.#early?.calls ?? [];
    this.#early = undefined;
    for (const call of calls) call();
  }

  /** No frame is in work or waits. */
  idle(): void {
    if (!this.#end) this.#finish?.close();
  }

  /** The outbox was written out; a close that waited for that can go. */
  flushed(): void {
    if (this.#end && this.#socket?.getBufferedAmount() === 0) this.#socket.close(this.#end.code, this.#end.reason);
  }

  /** The socket is gone. Returns the end as the protocol sees it: who closed first tells. */
  ended(seen: ChannelEnd): ChannelEnd {
    this.#end ??= seen;
    this.#socket = undefined;
    this.#early = undefined;
    this.#stopTimers();
    this.#finish?.done.resolve();
    return this.#end;
  }

  #shut(socket: Socket, code: number, reason: string, lastFrame: string | undefined): void {
    this.#end = { code, reason, by: "server" };
    this.#stopTimers();
    // A socket that is not read would not see the peer's answer.
    if (socket.isPaused) socket.resume();
    if (lastFrame !== undefined) {
      this.#hub.meters.sent.value++;
      socket.send(lastFrame);
    }
    this.#finish?.done.resolve();
    if (socket.getBufferedAmount() === 0) {
      socket.close(code, reason);
      return;
    }
    // Bun throws away what waits in the outbox of a socket that is closed, so the close frame waits too.
    for (const topic of socket.subscriptions) socket.unsubscribe(topic);
    this.#timers = new Set([this.#hub.clock.after(LINGER, () => socket.terminate())]);
  }

  #endSlow(): void {
    const { code, reason } = this.#hub.endpoint.closes.slowReader;
    this.#hub.meters.slowReaders.value++;
    this.close(code, reason, this.#hub.lastFrame(this, code, reason));
  }

  /** Keeps a call for the time after the upgrade, within the limit of the outbox. */
  #later(call: () => void, bytes: number): void {
    this.#early ??= { calls: [], bytes: 0 };
    this.#early.bytes += bytes;
    if (this.#early.bytes <= this.#hub.endpoint.limits.maxOutboxBytes) this.#early.calls.push(call);
    else if (this.#early.bytes - bytes <= this.#hub.endpoint.limits.maxOutboxBytes) {
      this.#early.calls = [() => this.#endSlow()];
    }
  }

  #stopTimers(): void {
    for (const stop of this.#timers ?? []) stop();
    this.#timers = undefined;
  }
}
