import type { TestJanus } from "../../../support/janus.ts";

const plugins = ["audiobridge", "videoroom", "textroom"] as const;

type Answer = Record<string, unknown>;

/** Looks into a Janus as its operator could, with a token of its own. */
export class Observer {
  /** Not one of the nodes'. */
  readonly token = `observer-${crypto.randomUUID()}`;
  readonly #janus: TestJanus;
  readonly #handles = new Map<string, string>();

  private constructor(janus: TestJanus) {
    this.#janus = janus;
  }

  static async open(janus: TestJanus): Promise<Observer> {
    const observer = new Observer(janus);
    const { url, adminUrl, adminSecret: admin_secret } = janus;
    await observer.#post(adminUrl, { janus: "add_token", admin_secret, token: observer.token });
    const session = `${url}/${idOf(await observer.#post(url, { janus: "create" }))}`;
    for (const plugin of plugins) {
      const attached = await observer.#post(session, { janus: "attach", plugin: `janus.plugin.${plugin}` });
      observer.#handles.set(plugin, `${session}/${idOf(attached)}`);
    }
    return observer;
  }

  /** The tokens each of the three rooms lets in; null for a room that is not there. */
  async allowed({ room, secret }: { room: number; secret: string }): Promise<(unknown[] | null)[]> {
    const answers = plugins.map((plugin) => {
      return this.message(plugin, { request: "allowed", action: "add", allowed: [], room, secret });
    });
    return (await Promise.all(answers)).map(({ allowed }) => (Array.isArray(allowed) ? allowed.toSorted() : null));
  }

  /** Asks a plugin and returns what it answers. */
  async message(plugin: (typeof plugins)[number], body: object): Promise<Answer> {
    const answer = await this.#post(this.#handles.get(plugin) ?? "", { janus: "message", body });
    return (answer.plugindata as { data: Answer }).data;
  }

  /** The tokens of a server but those of this observer. */
  async tokens(): Promise<string[]> {
    return (await this.#janus.tokens()).filter((token) => token !== this.token).toSorted();
  }

  async #post(url: string, request: object): Promise<Answer> {
    const body = JSON.stringify({ transaction: "test", token: this.token, ...request });
    const response = await fetch(url, { method: "POST", keepalive: false, body });
    return (await response.json()) as Answer;
  }
}

function idOf(answer: Answer): number {
  return (answer.data as { id: number }).id;
}
