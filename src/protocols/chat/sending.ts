import type { Clock } from "../../clock.ts";
import { DatabaseUnavailable } from "../../database/database.ts";
import type { Log } from "../../observe/log.ts";
import type { Blocklist } from "./blocklist.ts";
import { type Close, closes } from "./closes.ts";
import type { Connections } from "./connections.ts";
import type { Counters } from "./counters.ts";
import type { Delivery } from "./delivery.ts";
import { type Journal, type Outcome, OutcomeUnknown } from "./journal.ts";
import type { Draft } from "./message-rows.ts";
import { isLonger, type SendMessage } from "./messages.ts";
import type { Moderation } from "./moderation.ts";
import type { SendRate } from "./send-rate.ts";
import { shut, type UserChannel } from "./session.ts";

/** Milliseconds until a send is answered, whatever happens; a client waits ten seconds and the contract allows eight. */
const ANSWER_TIME = 7_500;

/** What a client is told when its message is not stored (C-4.9 to C-4.19). */
const reasons = {
  rate: "rate limit exceeded",
  reused: "message_temp_id was already used",
  stranger: "not a participant of this room",
  empty: "message is empty",
  long: "message is too long",
  unstorable: "message cannot be stored",
  forbidden: closes.forbiddenText.reason,
  unchecked: "message could not be checked",
  failed: "server error",
} as const;
type Refusal = keyof typeof reasons;

/** What becomes of a send. */
type Verdict =
  | Extract<Outcome, { kind: "stored" | "repeated" }>
  | { readonly kind: "refused"; readonly why: Refusal; readonly close?: Close | undefined }
  /** It may be stored or not; no answer would be honest (C-4.19). */
  | { readonly kind: "unknown" };

const refused = (why: Refusal, close?: Close): Verdict => ({ kind: "refused", why, close });

/** A send on its way. */
interface Attempt {
  readonly draft: Draft;
  readonly deadline: number;
  /** From here on it may become stored. */
  storing: boolean;
  /** It has been answered as not stored, so it must not go on. */
  abandoned: boolean;
}

export interface SendingParts {
  readonly journal: Journal;
  readonly rate: SendRate;
  readonly connections: Connections;
  readonly delivery: Delivery;
  readonly blocklist: Blocklist;
  readonly moderation: Moderation | null;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SendingOptions {
  /** Characters of a message. */
  readonly maxChars: number;
  /** Sends to strange rooms that end a socket. */
  readonly maxStrangeSends: number;
  /** Messages the hook cannot be asked about are refused. */
  readonly failClosed: boolean;
  /** A refused text ends the socket. */
  readonly closeOnForbidden: boolean;
}

/** `SendMessage`: checked, stored, confirmed, delivered, in this order (C-4.5 to C-4.19). */
export class Sending {
  readonly #parts: SendingParts;
  readonly #options: SendingOptions;

  constructor(parts: SendingParts, options: SendingOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Handles one send of a socket; resolves when it is answered. */
  async handle(channel: UserChannel, send: SendMessage): Promise<void> {
    const { clock, log } = this.#parts;
    const attempt: Attempt = {
      draft: {
        roomId: send.room_id,
        senderId: channel.session.user,
        tempId: send.message_temp_id,
        message: send.message.toWellFormed(),
        createdAt: clock.now(),
      },
      deadline: clock.elapsed() + ANSWER_TIME,
      storing: false,
      abandoned: false,
    };
    const { promise: late, resolve: beLate } = Promise.withResolvers<"late">();
    const stop = clock.after(ANSWER_TIME, () => beLate("late"));
    const work = this.#judge(channel, attempt);
    const verdict = await Promise.race([work, late]);
    stop();
    if (verdict !== "late") {
      this.#answer(channel, attempt.draft, verdict);
      return;
    }
    log.warn({ storing: attempt.storing }, "a send could not be settled in time");
    attempt.abandoned = !attempt.storing;
    this.#answer(channel, attempt.draft, attempt.storing ? { kind: "unknown" } : refused("failed"));
    // Stored after all: the sender will learn it when he repeats it, the others should see it now.
    void work.then((settled) => this.#deliver(channel, attempt.draft, settled));
  }

  /** Never rejects. */
  async #judge(channel: UserChannel, attempt: Attempt): Promise<Verdict> {
    const { journal, log } = this.#parts;
    try {
      const objection = (await this.#overRate(channel)) ?? (await this.#objection(channel, attempt));
      if (objection) return objection;
      if (attempt.abandoned) return refused("failed");
      attempt.storing = true;
      return this.#settled(channel, await journal.append(attempt.draft, attempt.deadline));
    } catch (error) {
      if (error instanceof OutcomeUnknown) return { kind: "unknown" };
      if (!(error instanceof DatabaseUnavailable)) log.error({ error }, "a message was not stored");
      return refused("failed");
    }
  }

  async #overRate({ session }: UserChannel): Promise<Verdict | null> {
    const rate = await this.#parts.rate.count(session.user);
    if (rate === "within") return null;
    this.#parts.counters.throttled("send");
    return refused("rate", rate === "out" ? closes.unauthorized : undefined);
  }

  /**
   * What speaks against a message before it is given to the journal. The journal itself looks for earlier sends and for
   * strangers; only where another check could speak first is it asked beforehand, to keep the order of C-4.5.
   */
  async #objection(channel: UserChannel, { draft }: Attempt): Promise<Verdict | null> {
    const { journal, blocklist, moderation } = this.#parts;
    const fault = this.#textFault(draft.message);
    const blocked = !fault && blocklist.refuses(draft.message);
    if (!fault && !blocked && !moderation) return null;
    const earlier = await journal.objection(draft);
    if (earlier) return this.#settled(channel, earlier);
    if (fault) return refused(fault);
    if (blocked) return this.#forbidden();
    const { roomId: room_id, senderId: sender_id, message } = draft;
    const verdict = await moderation?.ask({ room_id, sender_id, message });
    if (verdict === "refused") return this.#forbidden();
    return verdict === "unchecked" && this.#options.failClosed ? refused("unchecked") : null;
  }

  #textFault(message: string): Refusal | null {
    if (message.trim() === "") return "empty";
    if (isLonger(message, this.#options.maxChars)) return "long";
    return message.includes("\0") ? "unstorable" : null;
  }

  #forbidden(): Verdict {
    return refused("forbidden", this.#options.closeOnForbidden ? closes.forbiddenText : undefined);
  }

  #settled({ session }: UserChannel, outcome: Outcome): Verdict {
    if (outcome.kind === "stored") return outcome;
    if (outcome.kind === "repeated") return outcome.same ? outcome : refused("reused");
    session.strangeSends++;
    const tooOften = session.strangeSends >= this.#options.maxStrangeSends;
    return refused("stranger", tooOften ? closes.unauthorized : undefined);
  }

  /** Confirms, then delivers, then closes where that is due. */
  #answer(channel: UserChannel, draft: Draft, verdict: Verdict): void {
    const { connections, counters } = this.#parts;
    const { tempId } = draft;
    counters.sent(verdict.kind === "refused" ? verdict.why : verdict.kind);
    if (verdict.kind === "unknown") {
      shut(channel, closes.serverError);
      return;
    }
    if (verdict.kind !== "refused") {
      connections.confirm(channel, { tempId, reason: "", stored: verdict });
      this.#deliver(channel, draft, verdict);
      return;
    }
    connections.confirm(channel, { tempId, reason: reasons[verdict.why] });
    if (verdict.close) shut(channel, verdict.close);
  }

  #deliver(channel: UserChannel, draft: Draft, verdict: Verdict): void {
    if (verdict.kind === "stored") this.#parts.delivery.everywhere({ ...draft, ...verdict }, channel);
  }
}
