import { EVENTS, PATH } from "./client.ts";

/** Engine.IO packets of one WebSocket, as they are. Heartbeats of revision 4 are answered and kept out of the record. */
export class RawSocket {
  readonly ws: WebSocket;
  readonly frames: string[] = [];
  /** Close code. */
  readonly closed: Promise<number>;
  #read = 0;
  #over = false;
  #wake = Promise.withResolvers<void>();

  private constructor(ws: WebSocket, revision: 3 | 4) {
    this.ws = ws;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.closed = promise;
    ws.onmessage = ({ data }) => {
      if (data === "2" && revision === 4) ws.send("3");
      else this.frames.push(String(data));
      this.#stir();
    };
    ws.onclose = ({ code }) => {
      this.#over = true;
      this.#stir();
      resolve(code);
    };
    ws.onerror = () => {};
  }

  /** Opens a session; `query` starts with `&`. */
  static async open(
    url: string,
    options: { revision?: 3 | 4; query?: string; path?: string; headers?: Record<string, string> } = {},
  ): Promise<RawSocket> {
    const { revision = 4, query = "", path = PATH, headers = {} } = options;
    const address = `${url.replace("http", "ws")}${path}?EIO=${revision}&transport=websocket${query}`;
    // Bun's WebSocket takes headers, which the standard one does not.
    const ws = new WebSocket(address, { headers } as unknown as string[]);
    const raw = new RawSocket(ws, revision);
    await new Promise<void>((resolve, reject) => {
      ws.addEventListener("open", () => resolve());
      ws.addEventListener("close", ({ code }) => reject(new Error(`refused: ${code}`)));
    });
    return raw;
  }

  /** Opens a session of revision 4 and joins the chat; takes both answers. */
  static async join(url: string, credentials: Record<string, unknown>): Promise<RawSocket> {
    const raw = await RawSocket.open(url);
    await raw.next();
    raw.send(`40${EVENTS},${JSON.stringify(credentials)}`);
    const answer = await raw.next();
    if (!answer?.startsWith(`40${EVENTS},`)) throw new Error(`not joined: ${answer}`);
    return raw;
  }

  /** The next text frame; null when the socket is closed. */
  async next(): Promise<string | null> {
    while (this.#read === this.frames.length) {
      if (this.#over) return null;
      await this.#wake.promise;
    }
    return this.frames[this.#read++]!;
  }

  send(...frames: (string | Uint8Array)[]): void {
    for (const frame of frames) this.ws.send(frame as string);
  }

  close(): void {
    this.ws.close();
  }

  #stir(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
