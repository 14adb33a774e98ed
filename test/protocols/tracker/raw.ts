import { PATH } from "./stage.ts";

/** Engine.IO packets of one WebSocket, as they are. Heartbeats are answered and kept out of the record. */
export class RawSocket {
  readonly ws: WebSocket;
  readonly revision: 3 | 4;
  readonly frames: (string | ArrayBuffer)[] = [];
  /** Close code. */
  readonly closed: Promise<number>;
  #read = 0;
  #over = false;
  #wake = Promise.withResolvers<void>();

  private constructor(ws: WebSocket, revision: 3 | 4) {
    this.ws = ws;
    this.revision = revision;
    ws.binaryType = "arraybuffer";
    const { promise, resolve } = Promise.withResolvers<number>();
    this.closed = promise;
    ws.onmessage = ({ data }) => {
      if (data === "2" && revision === 4) ws.send("3");
      else this.frames.push(data as string | ArrayBuffer);
      this.#stir();
    };
    ws.onclose = ({ code }) => {
      this.#over = true;
      this.#stir();
      resolve(code);
    };
    ws.onerror = () => {};
  }

  /** Opens a WebSocket-only session and waits for the handshake; rejects when it is refused. */
  static async open(
    url: string,
    options: {
      token?: string | null;
      headers?: Record<string, string>;
      revision?: 3 | 4;
      query?: string;
      path?: string;
    } = {},
  ): Promise<RawSocket> {
    const { token, revision = 4, query = "", path = PATH } = options;
    const headers = { ...(token ? { authorization: `Bearer ${token}` } : {}), ...options.headers };
    const address = `${url.replace("http", "ws")}${path}?EIO=${revision}&transport=websocket${query}`;
    // Bun's WebSocket takes headers, which the standard one does not.
    const ws = new WebSocket(address, { headers } as unknown as string[]);
    const raw = new RawSocket(ws, revision);
    const opened = new Promise<void>((resolve, reject) => {
      ws.addEventListener("open", () => resolve());
      ws.addEventListener("close", ({ code }) => reject(new Error(`refused: ${code}`)));
    });
    await opened;
    return raw;
  }

  /** The next text frame; null when the socket is closed. */
  async next(): Promise<string | null> {
    while (this.#read === this.frames.length) {
      if (this.#over) return null;
      await this.#wake.promise;
    }
    return String(this.frames[this.#read++]);
  }

  /** Every frame until the socket is closed. */
  async rest(): Promise<string[]> {
    const rest: string[] = [];
    for (let frame = await this.next(); frame !== null; frame = await this.next()) rest.push(frame);
    return rest;
  }

  send(...frames: (string | Uint8Array)[]): void {
    for (const frame of frames) this.ws.send(frame as string);
  }

  /** Takes the open packet, sends CONNECT on revision 4, takes its answer. */
  async connect(payload = ""): Promise<void> {
    const open = await this.next();
    if (!open?.startsWith("0")) throw new Error(`no open packet: ${open}`);
    if (this.revision === 4) this.send(`40${payload}`);
    const answer = await this.next();
    if (!answer?.startsWith("40")) throw new Error(`not connected: ${answer}`);
  }

  close(): void {
    this.ws.close();
  }

  #stir(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

/** An Engine.IO session over plain HTTP requests. */
export class RawPolling {
  readonly url: string;
  readonly revision: 3 | 4;
  readonly headers: Record<string, string>;
  sid = "";
  /** Packets that came with the open packet. */
  readonly early: string[] = [];

  private constructor(url: string, revision: 3 | 4, headers: Record<string, string>) {
    this.url = url;
    this.revision = revision;
    this.headers = headers;
  }

  /** Opens a session; the headers are sent with every request. */
  static async open(
    url: string,
    options: { token?: string | null; headers?: Record<string, string>; revision?: 3 | 4; query?: string } = {},
  ): Promise<RawPolling> {
    const { token, revision = 4, query = "" } = options;
    const headers = { ...(token ? { authorization: `Bearer ${token}` } : {}), ...options.headers };
    const session = new RawPolling(url, revision, headers);
    const response = await fetch(`${session.address}${query}`, { headers });
    if (response.status !== 200) throw new Error(`refused: ${response.status} ${await response.text()}`);
    const [open = "", ...early] = session.packets(await response.text());
    session.sid = (JSON.parse(open.slice(1)) as { sid: string }).sid;
    session.early.push(...early);
    return session;
  }

  get address(): string {
    const sid = this.sid === "" ? "" : `&sid=${this.sid}`;
    return `${this.url}${PATH}?EIO=${this.revision}&transport=polling${sid}`;
  }

  /** Sends packets in one request; returns its status. */
  async send(...packets: string[]): Promise<number> {
    const body =
      this.revision === 4 ? packets.join("\x1e") : packets.map((packet) => `${packet.length}:${packet}`).join("");
    const response = await fetch(this.address, { method: "POST", body, headers: this.headers });
    await response.text();
    return response.status;
  }

  /** Waits for packets; null when the session is over. */
  async poll(): Promise<string[] | null> {
    const response = await fetch(this.address, { headers: this.headers });
    const text = await response.text();
    return response.status === 200 ? this.packets(text) : null;
  }

  /** Polls until as many packets have come (or the session is over). */
  async take(count: number): Promise<string[]> {
    const packets = this.early.splice(0);
    while (packets.length < count) {
      const more = await this.poll();
      if (more === null) break;
      packets.push(...more);
    }
    return packets;
  }

  /** The packets of a body in this revision's framing. */
  packets(body: string): string[] {
    if (this.revision === 4) return body === "" ? [] : body.split("\x1e");
    const packets: string[] = [];
    for (let rest = body; rest !== ""; ) {
      const colon = rest.indexOf(":");
      const end = colon + 1 + Number(rest.slice(0, colon));
      packets.push(rest.slice(colon + 1, end));
      rest = rest.slice(end);
    }
    return packets;
  }
}
