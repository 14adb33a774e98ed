import * as v from "valibot";
import type { Accounts } from "../../../accounts/accounts.ts";
import type { Clock } from "../../../clock.ts";
import { type CorsPolicy, originAllowed } from "../../../http/cors.ts";
import type { Log } from "../../../observe/log.ts";
import { type RawEndpoint, rawsocket } from "../../../rawsocket/endpoint.ts";
import type { Counters } from "../counters.ts";
import { closes, type FrameErrorCode, frameErrors, isOutage } from "../errors.ts";
import type { Fanout } from "../fanout.ts";
import { authFrame, errorFrame } from "../frames.ts";
import type { Failures } from "../identity/failures.ts";
import type { Sessids } from "../identity/sessids.ts";
import { Auth, Request, RequestId } from "../messages.ts";
import type { FleetSettings } from "../settings.ts";
import { isSound, jsonObject } from "../sound.ts";
import { isFull } from "./lanes.ts";
import type { Requests } from "./requests.ts";
import { type ClientChannel, countIn, newSession, type Session } from "./session.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Watchers } from "./watchers.ts";

/** Refusals in a minute after which a socket is closed (F-7.11). */
const MAX_REFUSALS = 100;
/** Requests at once, as a multiple of what is allowed in a second (F-4.16). */
const BURST = 5;
const PONG_TIMEOUT = 10_000;

/** What the client socket works with. */
export interface ClientParts {
  readonly settings: FleetSettings;
  readonly cors: CorsPolicy;
  readonly accounts: Accounts;
  readonly sessids: Sessids;
  readonly failures: Failures;
  readonly fanout: Fanout;
  readonly watchers: Watchers;
  readonly requests: Requests;
  readonly snapshot: Snapshot;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/** The client sockets: at `/fleet/ws`, and at `/` for whoever comes without a token (F-1.1, F-1.2). */
export function clientEndpoints(parts: ClientParts): RawEndpoint<unknown> {
  return new ClientEndpoint(parts).declaration();
}

class ClientEndpoint {
  readonly #parts: ClientParts;

  constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  declaration(): RawEndpoint<unknown> {
    const { settings, fanout, watchers, counters, log } = this.#parts;
    return rawsocket<Session>({
      name: "clients",
      paths: settings.root ? ["/fleet/ws", "/"] : ["/fleet/ws"],
      claims: (url) => url.pathname !== "/" || !url.searchParams.has("token"),
      mounted: (topics) => fanout.mounted(topics),
      opened: (channel, request) => this.#opened(channel, request),
      received: (channel, frame) => this.#received(channel, frame),
      closed(channel, end) {
        if (end.by === "server") counters.closed("client", end.code);
        watchers.leave(channel);
      },
      failed: (channel, error) => {
        if (!isOutage(error)) log.error({ error }, "a client's frame failed");
        this.#tell(channel, "internal");
      },
      limits: {
        maxFrameBytes: settings.maxFrameBytes,
        maxOutboxBytes: settings.maxOutgoingBytes,
        maxInbox: 64,
        pingInterval: settings.pingS,
        pongTimeout: PONG_TIMEOUT,
      },
      closes: {
        ...{ slowReader: closes.slowReader, noPong: closes.noPong, drain: closes.shutdown, full: closes.full },
        // F-7.7.
        lastFrame: (code) => (code === closes.full.code ? authFrame(false) : undefined),
      },
    });
  }

  #opened(channel: ClientChannel, request: globalThis.Request): void {
    channel.session = newSession();
    if (!originAllowed(this.#parts.cors, request.headers.get("origin"))) {
      channel.close(closes.origin.code, closes.origin.reason);
      return;
    }
    channel.after(this.#parts.settings.authTimeoutS, () => {
      if (!channel.session.login) channel.close(closes.noAuth.code, closes.noAuth.reason);
    });
  }

  #received(channel: ClientChannel, frame: string | Uint8Array): void | Promise<void> {
    const value = typeof frame === "string" ? jsonObject(frame) : null;
    if (!value) return this.#faulty(channel, "bad-json");
    const request = v.safeParse(Request, value);
    if (!request.success) return this.#faulty(channel, "unknown-type");
    const { type, query } = request.output;
    if (type === "auth") return this.#auth(channel, query);
    if (type !== "api" && type !== "pnd-api") return this.#faulty(channel, "unknown-type");
    if (typeof query !== "object" || query === null || Array.isArray(query)) return this.#faulty(channel, "bad-query");
    const id = idOf(type, query);
    // An `api` with a usable id always gets its status, so there the fields are looked at one by one.
    if (!(type === "api" && id !== undefined) && !isSound(query)) return this.#faulty(channel, "bad-query", { id });
    const { login } = channel.session;
    if (!login) return channel.send(authFrame(false));
    const wait = isFull(channel) ? 1000 : this.#take(channel);
    if (wait > 0) return this.#limited(channel, wait, id);
    const { requests, clock } = this.#parts;
    const fault =
      type === "api" ? requests.api(channel, login, query) : requests.pndApi(channel, login, query, clock.now());
    if (fault) this.#faulty(channel, "bad-query", { id: fault.id ?? id, field: fault.field });
  }

  /** F-4.5, and everything that can be wrong with it. */
  async #auth(channel: ClientChannel, query: unknown): Promise<void> {
    const { failures, sessids, accounts, watchers, snapshot } = this.#parts;
    const refuse = ({ code, reason }: { code: number; reason: string }) => {
      watchers.leave(channel);
      channel.close(code, reason, authFrame(false));
    };
    if (await failures.exhausted(channel.address)) return refuse(closes.limited);
    const asked = v.safeParse(Auth, query);
    const session = asked.success && isSound(query) ? await sessids.find(asked.output.SESSID) : null;
    const account = session && (await accounts.byNumber(session.user));
    if (!asked.success || !session || account?.disabled !== false || session.user !== asked.output.user_id) {
      await failures.note(channel.address);
      return refuse(closes.refused);
    }
    const login = { user: session.user, hash: session.hash, expiresAt: session.expiresAt };
    const welcome = () => channel.send(authFrame(true));
    if (!(await watchers.enter(channel, login, welcome))) return refuse(closes.full);
    if (asked.output.snapshot) await snapshot.send(channel);
  }

  /** Takes a request from the bucket; returns the milliseconds to wait when it is empty. */
  #take({ session }: ClientChannel): number {
    const { clock, settings } = this.#parts;
    const now = clock.elapsed();
    const token = 1000 / settings.commandsPerSecond;
    const full = Math.max(session.bucketFull, now);
    const wait = full + token - (now + token * settings.commandsPerSecond * BURST);
    if (wait > 0) return Math.ceil(wait);
    session.bucketFull = full + token;
    return 0;
  }

  #limited(channel: ClientChannel, wait: number, id: string | undefined): void {
    this.#tell(channel, "rate-limited", { id, retry_after_ms: wait });
    if (countIn(channel.session.refusals, this.#parts.clock.elapsed()) > MAX_REFUSALS) {
      channel.close(closes.limited.code, closes.limited.reason);
    }
  }

  #faulty(channel: ClientChannel, code: FrameErrorCode, more: { id?: string | undefined; field?: string } = {}): void {
    this.#tell(channel, code, more);
    const { clock, settings } = this.#parts;
    if (countIn(channel.session.faults, clock.elapsed()) > settings.badFramesPerMinute) {
      channel.close(closes.faulty.code, closes.faulty.reason);
    }
  }

  #tell(
    channel: ClientChannel,
    code: FrameErrorCode,
    { id, field, retry_after_ms }: { id?: string | undefined; field?: string; retry_after_ms?: number } = {},
  ): void {
    const text = field === undefined ? frameErrors[code] : `${frameErrors[code]}: ${field}`;
    channel.send(
      errorFrame(code, text, {
        ...(id === undefined ? {} : { id }),
        ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
      }),
    );
  }
}

/** The id or guid by which a client knows its request (F-4.4). */
function idOf(type: "api" | "pnd-api", query: object): string | undefined {
  const holder: unknown = type === "api" ? query : Reflect.get(query, "content");
  if (typeof holder !== "object" || holder === null) return undefined;
  const id = v.safeParse(RequestId, Reflect.get(holder, type === "api" ? "id" : "guid"));
  return id.success ? id.output : undefined;
}
