import { readBody } from "./body.ts";
import { ENDINGS, type Ending } from "./ending.ts";
import { CLOSE, NOOP, type Outgoing } from "./packet.ts";
import { badRequest, payloadTooLarge, REFUSALS, refuse } from "./refusal.ts";
import type { EngineSocket } from "./socket.ts";
import type { Transport } from "./transport.ts";

/** A GET that waits for something to answer it with. */
interface Poll {
  readonly headers: Headers;
  readonly answer: (response: Response) => void;
}

/** HTTP long-polling: the client's GETs carry packets to it, its POSTs bring packets from it, one of each at a time. */
export class PollingTransport implements Transport {
  readonly name = "polling";
  readonly #socket: EngineSocket;
  #poll: Poll | null = null;
  #outbox: Outgoing[] = [];
  #callbacks: (() => void)[] = [];
  #bytes = 0;
  #posting = false;
  #flushing = false;
  #hurried = false;

  constructor(socket: EngineSocket) {
    this.#socket = socket;
  }

  get writable(): boolean {
    return this.#poll !== null && this.#outbox.length === 0;
  }

  get bufferedBytes(): number {
    return this.#bytes;
  }

  send(packet: Outgoing, sent?: () => void): void {
    this.#outbox.push(packet);
    this.#bytes += Buffer.byteLength(packet);
    if (sent) this.#callbacks.push(sent);
    if (this.#bytes > this.#socket.maxOutboxBytes) {
      if (this.#poll === null) this.#socket.end(ENDINGS.slow);
      else this.#flush();
    } else if (this.#poll !== null && !this.#flushing) {
      // Everything written in one go leaves in one answer.
      this.#flushing = true;
      queueMicrotask(() => this.#flush());
    }
  }

  /** Serves one request of the session. */
  request(request: Request, headers: Headers): Response | Promise<Response> {
    if (request.method === "GET") return this.#get(request, headers);
    if (request.method === "POST") return this.#post(request, headers);
    return badRequest(headers);
  }

  /**
   * Answers every poll at once from now on (or waits again): a client that moves to a WebSocket has to bring its poll to
   * an end before it can tell us to follow.
   */
  hurry(hurried: boolean): void {
    this.#hurried = hurried;
    if (hurried && this.#outbox.length === 0) this.#answer([NOOP]);
  }

  /** Ends a waiting poll and hands over what was not sent, for the transport that takes over. */
  release(): { packets: Outgoing[]; callbacks: (() => void)[] } {
    const left = { packets: this.#outbox, callbacks: this.#callbacks };
    this.#forget();
    this.#answer([NOOP]);
    return left;
  }

  end(ending: Ending): boolean {
    const told = this.#poll !== null;
    this.#forget();
    this.#answer([ending.by === "client" ? NOOP : CLOSE]);
    return told;
  }

  #get(request: Request, headers: Headers): Response | Promise<Response> {
    if (this.#poll !== null) {
      this.#socket.end(ENDINGS.overlap);
      return badRequest(headers);
    }
    const { promise, resolve } = Promise.withResolvers<Response>();
    const poll: Poll = { headers, answer: resolve };
    this.#poll = poll;
    if (this.#outbox.length > 0) this.#flush();
    else if (this.#hurried) this.#answer([NOOP]);
    else request.signal.addEventListener("abort", () => this.#aborted(poll), { once: true });
    return promise;
  }

  async #post(request: Request, headers: Headers): Promise<Response> {
    if (this.#posting) {
      this.#socket.end(ENDINGS.overlap);
      return badRequest(headers);
    }
    this.#posting = true;
    try {
      const body = await readBody(request, this.#socket.maxMessageBytes);
      if (body === null) {
        this.#socket.end(ENDINGS.oversize);
        return payloadTooLarge(headers);
      }
      if (this.#socket.readyState === "closed") return refuse(REFUSALS.unknownSession, headers);
      const binary = request.headers.get("content-type")?.startsWith("application/octet-stream") ?? false;
      const packets = this.#socket.codec.decodePayload(body, binary);
      if (packets === null) {
        this.#socket.end(ENDINGS.malformed);
        return badRequest(headers);
      }
      for (const packet of packets) this.#socket.receive(packet);
    } catch {
      this.#socket.end(ENDINGS.cutOff);
      return badRequest(headers);
    } finally {
      this.#posting = false;
    }
    // Not text/plain: some old browsers offer that as a download when it comes from a form (engine.io GH-43).
    headers.set("content-type", "text/html; charset=utf-8");
    headers.set("cache-control", "no-store");
    return new Response("ok", { headers });
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#poll === null || this.#outbox.length === 0) return;
    const packets = this.#outbox;
    const callbacks = this.#callbacks;
    this.#forget();
    this.#answer(packets);
    this.#socket.drained(callbacks);
  }

  #answer(packets: Outgoing[]): void {
    const poll = this.#poll;
    if (poll === null) return;
    this.#poll = null;
    poll.answer(payloadResponse(this.#socket, packets, poll.headers));
  }

  #aborted(poll: Poll): void {
    if (this.#poll !== poll) return;
    this.#poll = null;
    this.#socket.end(ENDINGS.cutOff);
  }

  #forget(): void {
    this.#outbox = [];
    this.#callbacks = [];
    this.#bytes = 0;
  }
}

/** A polling answer that carries packets. */
export function payloadResponse(
  { codec, base64 }: Pick<EngineSocket, "codec" | "base64">,
  packets: readonly Outgoing[],
  headers: Headers,
): Response {
  const payload = codec.encodePayload(packets, base64);
  headers.set("content-type", typeof payload === "string" ? "text/plain; charset=UTF-8" : "application/octet-stream");
  headers.set("cache-control", "no-store");
  return new Response(payload, { headers });
}
