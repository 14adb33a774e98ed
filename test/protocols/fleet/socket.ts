/** A frame as a test reads it. */
export type Frame = Readonly<Record<string, unknown>> & {
  readonly uid?: number;
  readonly params: Readonly<Record<string, unknown>> & { readonly type: string };
};

/** One of our sockets as a client sees it: frames in order, and how it ended. */
export class Socket {
  readonly ws: WebSocket;
  /** Every text so far. */
  readonly texts: string[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  #read = 0;
  #ended = false;
  #wake = Promise.withResolvers<void>();

  constructor(url: string, headers: Record<string, string> = {}) {
    this.ws = new WebSocket(url.replace(/^http/, "ws"), { headers } as unknown as string[]);
    this.ws.onmessage = ({ data }) => {
      this.texts.push(String(data));
      this.#changed();
    };
    this.closed = new Promise((resolve) => {
      this.ws.onclose = ({ code, reason }) => {
        this.#ended = true;
        this.#changed();
        resolve({ code, reason });
      };
    });
  }

  /** Resolves when it is open. */
  async opened(): Promise<this> {
    if (this.ws.readyState === WebSocket.CONNECTING) {
      await new Promise<void>((resolve, reject) => {
        this.ws.onopen = () => resolve();
        this.ws.onerror = () => reject(new Error(`cannot open ${this.ws.url}`));
      });
    }
    return this;
  }

  /** Sends a value as JSON, or text as it is. */
  send(frame: object | string): void {
    this.ws.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The next text not asked for yet. Rejects when the socket ends before it. */
  async text(): Promise<string> {
    while (this.#read === this.texts.length) {
      if (this.#ended) throw new Error(`closed before another frame; so far ${this.texts.join("\n")}`);
      await this.#wake.promise;
    }
    return this.texts[this.#read++]!;
  }

  /** The next frame not asked for yet. */
  async next<T = Frame>(): Promise<T> {
    return JSON.parse(await this.text()) as T;
  }

  /** Frames up to the first that fits, which is the last of them. */
  async until(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const frame = await this.next();
      if (fits(frame)) return frame;
    }
  }

  /** The next frame of a type. */
  ofType(type: string): Promise<Frame> {
    return this.until((frame) => frame.params?.type === type);
  }

  /** Frames that the server has sent by now and were not asked for. */
  async rest(): Promise<Frame[]> {
    // Its pong comes after all it has sent before.
    const ponged = new Promise((resolve) => this.ws.addEventListener("pong" as "message", resolve, { once: true }));
    (this.ws as unknown as { ping(): void }).ping();
    await Promise.race([ponged, this.closed]);
    const frames = this.texts.slice(this.#read).map((text) => JSON.parse(text) as Frame);
    this.#read = this.texts.length;
    return frames;
  }

  close(): void {
    this.ws.close();
  }

  #changed(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }
}
