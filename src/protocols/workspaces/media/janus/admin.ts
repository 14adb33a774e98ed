import { JanusRefusal, type Reply, type Request } from "./call.ts";
import { pluginNames } from "./plugins.ts";

/** Sends a request to the admin API of a server. */
export type AdminCall = (request: Request) => Promise<Reply>;

/** Codes by which Janus says that it does not know a token: its own one, and the one it uses in fact. */
const unknownToken = new Set([470, 490]);

/** Tokens a server accepts requests with. Methods throw `JanusAway` and `JanusRefusal`. */
export class Admin {
  readonly #call: AdminCall;

  constructor(call: AdminCall) {
    this.#call = call;
  }

  /** Adding a token again changes nothing. */
  async addToken(token: string): Promise<void> {
    await this.#call({ janus: "add_token", token, plugins: pluginNames });
  }

  /** Removing an unknown token changes nothing. */
  async removeToken(token: string): Promise<void> {
    try {
      await this.#call({ janus: "remove_token", token });
    } catch (error) {
      if (!(error instanceof JanusRefusal && unknownToken.has(error.code))) throw error;
    }
  }

  async ping(): Promise<void> {
    await this.#call({ janus: "ping" });
  }
}
