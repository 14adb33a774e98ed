import type { ConnectionOptions } from "../../../../src/protocols/workspaces/media/media.ts";

type Answer = Record<string, unknown>;

/** What a handle is told: a plugin's data, and the description of a session of media if there is one. */
export interface JanusEvent {
  /** `event` for what a plugin says, `webrtcup` once there is a connection for media. */
  readonly kind: string;
  readonly data: Answer;
  readonly jsep?: { readonly type: "offer" | "answer"; readonly sdp: string };
}

/**
 * A client of Janus as the existing client is one: opens the server with the server token and joins rooms with the
 * channel token (W-10.28). Texts are what Janus refused with. For media see peer.ts.
 */
export class JanusClient {
  readonly #url: string;
  readonly #token: string | undefined;
  #session = "";

  private constructor(url: string, token: string | undefined) {
    this.#url = url;
    this.#token = token;
  }

  /** Opens a session; throws the refusal. */
  static async open({ janusServerUrl, janusAuthToken }: ConnectionOptions): Promise<JanusClient> {
    if (janusServerUrl === null || janusAuthToken === null) throw new Error("there are no media servers");
    const client = new JanusClient(janusServerUrl, janusAuthToken);
    client.#session = String(idOf(await client.#post("", { janus: "create" })));
    return client;
  }

  /** Joins a room; "joined", or what the plugin says against it. */
  async join(plugin: "audiobridge" | "videoroom", options: ConnectionOptions, display: string): Promise<string> {
    return this.ask(plugin, {
      request: "join",
      ptype: "publisher",
      room: plugin === "audiobridge" ? options.audioRoomId : options.videoRoomId,
      display,
      ...(options.channelAuthToken === null ? {} : { token: options.channelAuthToken }),
    });
  }

  /** Sends a request to a fresh handle and waits for the event that answers it. */
  async ask(plugin: string, body: object): Promise<string> {
    const handle = await this.attach(plugin);
    await this.message(handle, body);
    const { data } = await this.event(handle, (event) => event.data[plugin] !== undefined);
    return String(data.error ?? data[plugin]);
  }

  /** A fresh handle. */
  async attach(plugin: string): Promise<number> {
    return idOf(await this.#post(`/${this.#session}`, { janus: "attach", plugin: `janus.plugin.${plugin}` }));
  }

  async message(handle: number, body: object, jsep?: JanusEvent["jsep"]): Promise<void> {
    await this.#post(`/${this.#session}/${handle}`, { janus: "message", body, ...(jsep && { jsep }) });
  }

  async close(): Promise<void> {
    await this.#post(`/${this.#session}`, { janus: "destroy" });
  }

  /** The first event of a handle that is awaited; others are let go. */
  async event(sender: number, awaited: (event: JanusEvent) => boolean): Promise<JanusEvent> {
    for (;;) {
      const token = this.#token === undefined ? "" : `&token=${this.#token}`;
      const response = await fetch(`${this.#url}/${this.#session}?maxev=1${token}`, { keepalive: false });
      for (const event of [(await response.json()) as Answer | Answer[]].flat()) {
        const data = (event.plugindata as { data: Answer } | undefined)?.data;
        const told = {
          kind: String(event.janus),
          data: data ?? {},
          ...(event.jsep ? { jsep: event.jsep as NonNullable<JanusEvent["jsep"]> } : {}),
        };
        if (event.sender === sender && awaited(told)) return told;
        if (event.janus === "error") throw new Error(String((event.error as { reason: string }).reason));
      }
    }
  }

  async #post(path: string, request: object): Promise<Answer> {
    const body = JSON.stringify({ transaction: crypto.randomUUID(), token: this.#token, ...request });
    const response = await fetch(`${this.#url}${path}`, { method: "POST", keepalive: false, body });
    const answer = (await response.json()) as Answer;
    if (answer.janus === "error") throw new Error((answer.error as { reason: string }).reason);
    return answer;
  }
}

function idOf(answer: Answer): number {
  return (answer.data as { id: number }).id;
}
