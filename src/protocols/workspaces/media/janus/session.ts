import * as v from "valibot";
import { JanusRefusal, type Reply, type Request } from "./call.ts";
import { type PluginKey, pluginKeys, plugins } from "./plugins.ts";

/** A plugin answered that it will not. */
export class PluginRefusal extends Error {
  override readonly name = "PluginRefusal";
  /** Code of the plugin's own list. */
  readonly code: number;

  constructor(plugin: PluginKey, code: number, reason: string) {
    super(`${plugin} refuses: ${reason} (${code})`);
    this.code = code;
  }
}

export interface SessionParts {
  /** Sends a request with the node's token to a path below the HTTP API: `""`, `/{session}` or `/{session}/{handle}`. */
  readonly call: (path: string, request: Request) => Promise<Reply>;
  /** Makes the server accept the node's token. */
  readonly register: () => Promise<void>;
  /** The server has forgotten the session or the token: it may have restarted (W-10.22). */
  readonly lost: () => void;
}

interface Opened {
  readonly path: string;
  readonly handles: ReadonlyMap<PluginKey, string>;
}

const Identified = v.looseObject({ id: v.number() });
const Refused = v.looseObject({ error_code: v.number(), error: v.optional(v.string(), "no reason given") });

/** No such token, no such session, no such handle. */
const forgotten = new Set([403, 458, 459]);

/**
 * The one session this node keeps with a server, with a handle for each plugin (W-10.6). It is opened when it is first
 * needed, and again when the server has forgotten it. Methods throw `JanusAway` and `JanusRefusal`.
 */
export class ControlSession {
  readonly #parts: SessionParts;
  #opened: Promise<Opened> | null = null;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /** Asks a plugin; its answer. Throws {@link PluginRefusal} besides (W-10.7). */
  async message(plugin: PluginKey, body: object): Promise<Readonly<Record<string, unknown>>> {
    const reply = await this.#use(({ handles }) =>
      this.#parts.call(handles.get(plugin) ?? "", { janus: "message", body }),
    );
    const data = reply.plugindata?.data;
    if (reply.janus !== "success" || !data) throw new JanusRefusal(0, `${reply.janus} in place of an answer`);
    if (v.is(Refused, data)) throw new PluginRefusal(plugin, data.error_code, v.parse(Refused, data).error);
    return data;
  }

  /** Opens the session if there is none, and keeps it alive: Janus ends one it has not heard of for a minute. */
  async keepAlive(): Promise<void> {
    await this.#use(({ path }) => this.#parts.call(path, { janus: "keepalive" }));
  }

  /** Ends the session, if there is one. */
  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => null);
    this.#opened = null;
    if (opened) await this.#parts.call(opened.path, { janus: "destroy" });
  }

  async #use(request: (opened: Opened) => Promise<Reply>): Promise<Reply> {
    const opening = this.#open();
    const opened = await opening;
    try {
      return await request(opened);
    } catch (error) {
      if (!(error instanceof JanusRefusal && forgotten.has(error.code))) throw error;
      if (this.#opened === opening) {
        this.#opened = null;
        this.#parts.lost();
      }
      return await request(await this.#open());
    }
  }

  #open(): Promise<Opened> {
    if (this.#opened) return this.#opened;
    const opening = this.#start();
    this.#opened = opening;
    opening.catch(() => {
      if (this.#opened === opening) this.#opened = null;
    });
    return opening;
  }

  async #start(): Promise<Opened> {
    await this.#parts.register();
    const path = await this.#make("", { janus: "create" });
    try {
      const handles = pluginKeys.map(async (key) => {
        return [key, await this.#make(path, { janus: "attach", plugin: plugins[key].name })] as const;
      });
      const settled = await Promise.allSettled(handles);
      const failed = settled.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
      return { path, handles: new Map(await Promise.all(handles)) };
    } catch (error) {
      await this.#parts.call(path, { janus: "destroy" }).catch(() => {});
      throw error;
    }
  }

  /** Makes a session or a handle; its path. */
  async #make(path: string, request: Request): Promise<string> {
    const { data } = await this.#parts.call(path, request);
    if (!v.is(Identified, data)) throw new JanusRefusal(0, `no id in the answer to ${request.janus}`);
    return `${path}/${data.id}`;
  }
}
