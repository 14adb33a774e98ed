import type { Namespace } from "socket.io";
import * as v from "valibot";
import { type NamespaceDeclaration, namespace } from "../../socketio/endpoint.ts";
import { type Admission, credential } from "./admission.ts";
import type { Counters } from "./counters.ts";
import { TOO_FAST } from "./endpoint.ts";
import { errors } from "./errors.ts";
import type { Lookups } from "./lookups.ts";
import { Credential, Id } from "./messages.ts";
import type { Presence } from "./presence.ts";
import { ID } from "./room-name.ts";
import type { Admitted } from "./session.ts";

const AUCTION_RESULTS = "/v1/conversations/auction-result-events";
const AUCTION_RESULT_LISTS = "/v1/conversations/auction-result-list-events";

/** What `auction_id` may be: a text that is no id is not looked past, a whole number is its decimal text (V-4.2). */
const AuctionId = v.union([Credential, Id]);
/** Auctions one socket may listen to (V-4.24). */
const MAX_AUCTIONS = 100;

const number = v.fallback(v.nullable(v.union([v.number(), v.string()])), null);
const text = v.fallback(v.nullable(v.union([v.string(), v.number()])), null);

/** A result as it is in the topic, its names in camel case (V-6.22). */
const Result = v.object({
  id: v.union([v.number(), v.string()]),
  type: text,
  phaseId: number,
  state: text,
  bidsCount: number,
  biddersCount: number,
  winnerId: v.fallback(v.union([v.number(), v.string()]), 0),
  currentPrice: number,
  priceBidAutoHighest: number,
  timeStart: text,
  timeEnd: text,
  isSold: v.fallback(
    v.pipe(
      v.union([v.number(), v.boolean()]),
      v.transform((sold) => (sold ? 1 : 0)),
    ),
    0,
  ),
});

/** A value of the topic. */
const Value = v.pipe(
  v.string(),
  v.parseJson(),
  v.record(v.string(), v.unknown()),
  v.transform((given) => Object.fromEntries(Object.entries(given).map(([name, value]) => [camelCase(name), value]))),
  Result,
);

/** Events a second of one socket, and how many at once. */
interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Which auctions a socket listens to. */
interface Listener extends Admitted {
  readonly auctions: readonly string[];
}

/** Hands auction results to the sockets that asked for them (V-4.24, V-5.12). */
export class Auctions {
  readonly #parts: {
    readonly admission: Admission;
    readonly presence: Presence;
    readonly lookups: Lookups;
    readonly counters: Counters;
  };
  readonly #rate: Rate;
  readonly #namespaces: Map<string, Namespace>;

  /** `rate` is that of the chat's events; `namespaces` outlive a reload of the code. */
  constructor(
    parts: { admission: Admission; presence: Presence; lookups: Lookups; counters: Counters },
    rate: Rate,
    namespaces: Map<string, Namespace>,
  ) {
    this.#parts = parts;
    this.#rate = rate;
    this.#namespaces = namespaces;
  }

  /** The two namespaces by name. */
  get namespaces(): Record<string, NamespaceDeclaration<never>> {
    return {
      [AUCTION_RESULTS]: this.#namespace(AUCTION_RESULTS),
      [AUCTION_RESULT_LISTS]: this.#namespace(AUCTION_RESULT_LISTS),
    };
  }

  /** Takes a value of the topic; what cannot be read is skipped and counted (V-6.24). */
  async take(value: string): Promise<void> {
    const { lookups, counters } = this.#parts;
    const parsed = v.safeParse(Value, value);
    if (!parsed.success) {
      counters.unreadable.value++;
      return;
    }
    const result = parsed.output;
    const topic = topicOf(String(result.id));
    this.#namespaces.get(AUCTION_RESULTS)?.to(topic).emit("new_auction_result", result);
    const winner = String(result.winnerId);
    const winnerName = winner === "0" || winner === "" ? "" : await lookups.userName(winner);
    this.#namespaces
      .get(AUCTION_RESULT_LISTS)
      ?.to(topic)
      .emit("new_auction_result", { ...result, winnerName });
    counters.auctionResults.value++;
  }

  #namespace(name: string): NamespaceDeclaration<never> {
    return namespace<Listener>({
      mounted: (space) => {
        this.#namespaces.set(name, space);
      },
      authenticate: (handshake) =>
        this.#parts.admission.authenticateListener(handshake, () => {
          const one = credential(handshake, "auction_id", AuctionId);
          const auctions = one === undefined ? (credential(handshake, "auction_ids") ?? "").split(",") : [one];
          const valid = auctions.length <= MAX_AUCTIONS && auctions.every((auction) => ID.test(auction));
          if (!valid) throw errors.fault("INVALID_AUCTION");
          return { auctions };
        }),
      joined: async (peer) => {
        this.#parts.admission.arrived(peer);
        await peer.socket.join(peer.session.auctions.map(topicOf));
      },
      on: {},
      // There is no event to be refused here, so that whoever sends too many is not told of each one first (V-7.11).
      rate: this.#rate,
      limited: (peer) => peer.drop(TOO_FAST),
      left: async (peer, reason) => {
        const { admission, presence } = this.#parts;
        admission.gone(peer, reason);
        await presence.stopListening(peer.session.user.id, peer.session.connection);
      },
      numericNames: "unknown",
      reservedNames: "close",
    });
  }
}

const topicOf = (auction: string) => `auction:${auction}`;

const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
