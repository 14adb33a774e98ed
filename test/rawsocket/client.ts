/** A well-behaved client: Bun's own WebSocket with its messages as a queue. */
export class Client {
  readonly socket: WebSocket;
  /** Every text so far. */
  readonly texts: string[] = [];
  /** Resolves when the socket is closed. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #waiting: (() => void)[] = [];
  #read = 0;
  #ended = false;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.onmessage = (event) => {
      this.texts.push(String(event.data));
      this.#wake();
    };
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => {
        this.#ended = true;
        this.#wake();
        resolve({ code, reason });
      };
    });
  }

  /** Resolves when the socket is open. */
  static async open(url: string): Promise<Client> {
    const client = new Client(new WebSocket(url));
    await new Promise<void>((resolve, reject) => {
      client.socket.onopen = () => resolve();
      client.socket.onerror = () => reject(new Error(`cannot open ${url}`));
    });
    return client;
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    this.socket.send(data);
  }

  /** The next text not asked for yet; null when the socket is closed. */
  async next(): Promise<string | null> {
    while (this.#read === this.texts.length && !this.#ended) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.texts[this.#read++] ?? null;
  }

  /** Resolves when `count` texts have come in all. */
  async received(count: number): Promise<string[]> {
    while (this.texts.length < count && !this.#ended) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.texts;
  }

  close(code?: number): void {
    this.socket.close(code);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
