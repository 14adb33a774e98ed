import * as v from "valibot";
import type { CommandInput } from "../../protocol.ts";
import type { FleetSettings } from "../settings.ts";

const Envelope = v.object({ message: v.string(), data: v.unknown(), cursor: v.exactOptional(v.string()) });

const WRONG_TOKEN = "Its FLEET_ADMIN_TOKEN is another one: run this in the gateway's folder, or set the same token.";

/** An administration call that was refused. */
export class AdminRefused extends Error {
  override readonly name = "AdminRefused";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Administration of a running gateway, with the token of this machine's settings. */
export class AdminClient {
  readonly #base: string;
  readonly #token: string;

  constructor({ values, settings, gateway }: CommandInput<FleetSettings>) {
    const host = ["0.0.0.0", "::"].includes(gateway.internalHost) ? "127.0.0.1" : gateway.internalHost;
    const given = values.admin ?? `http://${host}:${gateway.internalPort}`;
    this.#base = `${String(given).replace(/\/$/, "")}/admin/fleet`;
    this.#token = settings.adminToken;
  }

  /** Calls and gives `data`, checked. Throws {@link AdminRefused}, or an Error when no gateway answers. */
  async call<Schema extends v.GenericSchema>(
    schema: Schema,
    method: string,
    path: string,
    body?: object,
  ): Promise<v.InferOutput<Schema>> {
    return v.parse(schema, (await this.#call(method, path, body)).data);
  }

  /** Every item of a list. */
  async list<Schema extends v.GenericSchema>(schema: Schema, path: string): Promise<v.InferOutput<Schema>[]> {
    const items: v.InferOutput<Schema>[] = [];
    for (let cursor: string | undefined = "0"; cursor !== undefined; ) {
      const page: v.InferOutput<typeof Envelope> = await this.#call("GET", `${path}?limit=500&cursor=${cursor}`);
      items.push(...v.parse(v.array(schema), page.data));
      cursor = page.cursor;
    }
    return items;
  }

  async #call(method: string, path: string, body?: object) {
    const headers = { authorization: `Bearer ${this.#token}`, "content-type": "application/json" };
    let response: Response;
    try {
      response = await fetch(this.#base + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    } catch (cause) {
      throw new Error(`no gateway answers at ${this.#base}: start it, or say where it is with --admin`, { cause });
    }
    const envelope = v.safeParse(Envelope, await response.json().catch(() => null));
    if (!response.ok || !envelope.success) {
      const said = envelope.success ? envelope.output.message : `HTTP ${response.status}`;
      const why = response.status === 401 ? `${said}. ${WRONG_TOKEN}` : said;
      throw new AdminRefused(response.status, `the gateway refused: ${why}`);
    }
    return envelope.output;
  }
}

/** What is read of a new unit. */
export const NewUnit = v.object({
  uid: v.number(),
  vid: v.number(),
  key: v.nullable(v.string()),
  pnd_key: v.nullable(v.string()),
});
export const KnownUnit = v.object({ uid: v.number(), unique_id: v.nullable(v.string()) });
export const KnownUser = v.object({ user_id: v.number(), login: v.nullable(v.string()) });
