/** An Engine.IO session over a WebSocket, frame by frame. It answers the pings of revision 4 and nothing else. */
export class WireSession {
  readonly ws: WebSocket;
  /** Text frames so far, without pings. */
  readonly frames: string[] = [];
  readonly closed: Promise<{ readonly code: number }>;
  readonly #waiting: (() => void)[] = [];
  #read = 0;
  #ended = false;

  private constructor(ws: WebSocket) {
    this.ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onmessage = ({ data }) => {
      if (data === "2") ws.send("3");
      else this.#took(typeof data === "string" ? data : `bytes:${Buffer.from(data).toString("hex")}`);
    };
    this.closed = new Promise((resolve) => {
      ws.onclose = ({ code }) => {
        this.#ended = true;
        this.#wake();
        resolve({ code });
      };
    });
  }

  /** Opens a session; `query` is added to the URL. Resolves with the open packet taken. */
  static async open(
    url: string,
    revision: 3 | 4,
    query = "",
    headers: Record<string, string> = {},
  ): Promise<WireSession> {
    const address = `${url.replace("http", "ws")}/io/?EIO=${revision}&transport=websocket${query}`;
    const session = new WireSession(new WebSocket(address, { headers } as unknown as string[]));
    await session.next();
    return session;
  }

  send(...frames: (string | Uint8Array<ArrayBuffer>)[]): void {
    for (const frame of frames) this.ws.send(frame);
  }

  /** The next frame not asked for yet; null when the socket is closed. */
  async next(): Promise<string | null> {
    while (this.#read === this.frames.length && !this.#ended) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.frames[this.#read++] ?? null;
  }

  /** Every further frame until the socket is closed. */
  async rest(): Promise<string[]> {
    const frames: string[] = [];
    for (let frame = await this.next(); frame !== null; frame = await this.next()) frames.push(frame);
    return frames;
  }

  #took(frame: string): void {
    this.frames.push(frame);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** An Engine.IO session on long polling, request by request. */
export class PollingSession {
  readonly #url: string;

  private constructor(url: string) {
    this.#url = url;
  }

  static async open(url: string, revision: 3 | 4): Promise<PollingSession> {
    const address = `${url}/io/?EIO=${revision}&transport=polling`;
    const text = await (await fetch(address)).text();
    const { sid } = JSON.parse(text.slice(text.indexOf("{"))) as { sid: string };
    return new PollingSession(`${address}&sid=${sid}`);
  }

  /** One poll: the body as it came. */
  async poll(): Promise<string> {
    return (await fetch(this.#url)).text();
  }

  async post(body: string): Promise<number> {
    return (await fetch(this.#url, { method: "POST", body })).status;
  }
}
