import * as v from "valibot";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import { type BuyerInfo, type CreateRoom, isJsonObject, type JsonObject, type Profile } from "./messages.ts";

/** Milliseconds a look-up may take (V-3.32). */
const PATIENCE = 2_000;
/** Bytes of an answer that are read. */
const MAX_ANSWER = 64 * 1024;

/** How a NUL and a lone surrogate look in JSON. */
const UNKEEPABLE = /\\u(?:0000|d[89a-f])/i;

const text = v.fallback(v.nullish(v.pipe(v.string(), v.maxLength(512))), null);
const UserAnswer = v.object({ name: text, avatar: text, phone_number: text, email: text });
const ShopAnswer = v.record(v.string(), v.unknown());

/** Where profiles are; templates with `{id}`. */
export interface LookupUrls {
  readonly user: string | undefined;
  readonly shop: string | undefined;
}

/** What other services know of people and shops. None of its methods rejects: a look-up that fails finds nothing. */
export class Lookups {
  readonly #urls: LookupUrls;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(urls: LookupUrls, { clock, log }: { clock: Clock; log: Log }) {
    this.#urls = urls;
    this.#clock = clock;
    this.#log = log;
  }

  /** The profile of a buyer; without a service the one in the request. */
  async buyer({ buyer, buyer_info }: CreateRoom): Promise<BuyerInfo> {
    const { user } = this.#urls;
    return buyerInfo(buyer, user === undefined ? buyer_info : await this.#ask(user, buyer, UserAnswer));
  }

  /** The shop as its service describes it. */
  async shop(id: string): Promise<JsonObject> {
    const { shop } = this.#urls;
    if (shop === undefined || id === "") return {};
    return (await this.#ask(shop, id, ShopAnswer)) ?? {};
  }

  /** A person's display name; empty when unknown (V-5.12). */
  async userName(id: string): Promise<string> {
    const { user } = this.#urls;
    return (user !== undefined && (await this.#ask(user, id, UserAnswer))?.name) || "";
  }

  async #ask<const Schema extends v.GenericSchema>(
    template: string,
    id: string,
    schema: Schema,
  ): Promise<v.InferOutput<Schema> | undefined> {
    const late = new AbortController();
    const cancel = this.#clock.after(PATIENCE, () => late.abort(new DOMException("no answer", "TimeoutError")));
    try {
      const url = template.replaceAll("{id}", encodeURIComponent(id));
      const response = await fetch(url, { signal: late.signal });
      if (!response.ok) throw new Error(`answered ${response.status}`);
      const answer = await response.text();
      if (answer.length > MAX_ANSWER) throw new Error("answered too much");
      const value: unknown = JSON.parse(answer);
      if (!isJsonObject(value)) throw new Error("answered no object");
      const known = v.parse(schema, value);
      // What Postgres cannot keep, or read again, must not reach it (V-8.11, V-8.12).
      if (UNKEEPABLE.test(JSON.stringify(known))) throw new Error("answered what cannot be kept");
      return known;
    } catch (error) {
      this.#log.warn({ error: error instanceof Error ? error.name : "", id }, "look-up failed");
      return undefined;
    } finally {
      cancel();
    }
  }
}

function buyerInfo(buyer: string, profile: Profile | undefined): BuyerInfo {
  return {
    name: profile?.name || buyer,
    avatar: profile?.avatar ?? null,
    phone_number: profile?.phone_number ?? null,
    email: profile?.email ?? null,
  };
}
