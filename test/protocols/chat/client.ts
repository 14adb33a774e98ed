/** A frame as the server sent it. */
export interface Frame {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** How a socket ended. */
export interface End {
  readonly code: number;
  readonly reason: string;
}

let temps = 0;

/** A temp id in the form of the app. */
export const tempId = (): string => `temp-${Date.now()}-0.${++temps}`;

/** A socket as the app has one: it keeps every frame, in order. */
export class Client {
  /** Every frame so far. */
  readonly frames: Frame[] = [];
  /** Resolves when the socket is closed, by whomever. */
  readonly closed: Promise<End>;
  readonly socket: WebSocket;
  #read = 0;
  #end: End | null = null;
  #wake = Promise.withResolvers<void>();

  constructor(url: string, options: { headers?: Record<string, string>; protocols?: string[] } = {}) {
    this.socket = new WebSocket(url.replace("http", "ws"), options);
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", ({ code, reason }) => {
        this.#end = { code, reason };
        resolve(this.#end);
        this.#changed();
      });
    });
    this.socket.addEventListener("message", ({ data }) => {
      this.frames.push(JSON.parse(String(data)) as Frame);
      this.#changed();
    });
    this.socket.addEventListener("error", () => {});
  }

  /** Resolves when the upgrade was answered. */
  async opened(): Promise<this> {
    if (this.socket.readyState === WebSocket.CONNECTING) {
      await new Promise((resolve, reject) => {
        this.socket.addEventListener("open", resolve);
        this.socket.addEventListener("close", ({ code }) => reject(new Error(`closed with ${code} instead of opened`)));
      });
    }
    return this;
  }

  /** The next frame not asked for yet. Throws when the socket is closed before one comes. */
  async next(): Promise<Frame> {
    while (this.#read === this.frames.length) {
      if (this.#end) throw new Error(`closed with ${this.#end.code} ${this.#end.reason}`);
      await this.#wake.promise;
    }
    return this.frames[this.#read++]!;
  }

  /** Frames that came and nobody asked for. */
  rest(): Frame[] {
    const rest = this.frames.slice(this.#read);
    this.#read = this.frames.length;
    return rest;
  }

  get isClosed(): boolean {
    return this.#end !== null;
  }

  raw(text: string): void {
    this.socket.send(text);
  }

  /** Sends a message; returns its temp id. */
  send(room: unknown, message: unknown, id: unknown = tempId()): string {
    this.raw(JSON.stringify({ type: "SendMessage", data: { room_id: room, message, message_temp_id: id } }));
    return String(id);
  }

  /** Sends a message and waits for its confirmation, past all other frames. */
  async say(room: number, message: string, id: string = tempId()): Promise<Frame["data"]> {
    this.send(room, message, id);
    return this.confirmation(id);
  }

  /** The confirmation of a send. */
  async confirmation(id: string): Promise<Frame["data"]> {
    for (;;) {
      const { type, data } = await this.next();
      if (type === "MessageSentConfirmation" && data.message_id === id) return data;
    }
  }

  /** Waits for an answer to something sent now, so that all that was sent to this socket before has arrived. */
  async settle(): Promise<void> {
    await this.say(0, "?").catch(() => {});
  }

  close(): void {
    this.socket.close();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

export const confirmed = (id: string) => ({
  type: "MessageSentConfirmation",
  data: { confirmed: true, reason: "", message_id: id },
});
export const refused = (id: string, reason: string) => ({
  type: "MessageSentConfirmation",
  data: { confirmed: false, reason, message_id: id },
});
export const received = (room: number, sender: string, message: string) => ({
  type: "MessageReceived",
  data: { room_id: room, sender_id: sender, message },
});
export const disconnection = (code: number, reason: string) => ({ type: "Disconnection", data: { code, reason } });

/** The texts of section 7. */
export const ends = {
  noToken: { code: 4001, reason: "No authentication token provided" },
  badToken: { code: 4002, reason: "Token validation failed" },
  inactive: { code: 4003, reason: "Disconnected due to inactivity" },
  kicked: { code: 4004, reason: "Disconnected by admin" },
  banned: { code: 4005, reason: "User is banned" },
  serverError: { code: 4006, reason: "Server error occurred" },
  drain: { code: 4007, reason: "Server is shutting down" },
  newDevice: { code: 4008, reason: "New device connection" },
  lost: { code: 4009, reason: "Connection closed" },
  badFrame: { code: 4010, reason: "Bad message structure" },
  forbiddenText: { code: 4011, reason: "Hateful speech or fake information is not permitted on Swappart" },
  unauthorized: { code: 4012, reason: "Unauthorized action in the chat" },
} as const;
