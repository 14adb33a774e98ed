import * as v from "valibot";
import { type Claims, TokenRefused, type Verifier } from "../../accounts/tokens.ts";
import type { TrustedProxies } from "../../http/address.ts";
import { errors, unauthorized } from "./errors.ts";
import { Id } from "./messages.ts";
import { ID, type Side } from "./room-name.ts";

/** Somebody whose identity is proven. */
export interface User {
  readonly id: string;
  /** Sides he may act as (V-2.4). */
  readonly sides: readonly Side[];
  /** Epoch milliseconds at which the proof ends; infinite where a proxy vouches for him. */
  readonly expires: number;
}

/** What a request or handshake shows of its sender. */
export interface Evidence {
  readonly token: string | undefined;
  header(name: string): string | undefined;
  /** Address of the TCP peer. */
  readonly peer: string;
}

export interface IdentityOptions {
  readonly mode: "jwt" | "trusted-gateway";
  readonly userClaim: string;
  readonly roleClaim: string;
  readonly proxies: TrustedProxies;
}

const BOTH: readonly Side[] = ["BUYER", "SELLER"];

/** A claim that limits the sides: a role, or a list of roles. */
const Roles = v.fallback(
  v.union([
    v.array(v.unknown()),
    v.pipe(
      v.unknown(),
      v.transform((role) => [role]),
    ),
  ]),
  [],
);

/** Finds out who somebody is (section 2). Throws `UNAUTHORIZED`, or TokenCheckUnavailable while that cannot be told. */
export class Identity {
  readonly #verifier: Verifier;
  readonly #options: IdentityOptions;

  constructor(verifier: Verifier, options: IdentityOptions) {
    this.#verifier = verifier;
    this.#options = options;
  }

  /** True when headers of a proxy, and not tokens, tell who somebody is. */
  get trustsGateway(): boolean {
    return this.#options.mode === "trusted-gateway";
  }

  of(evidence: Evidence): Promise<User> {
    return this.trustsGateway ? this.#ofHeaders(evidence) : this.ofToken(evidence.token ?? "");
  }

  /** The user a token speaks for (V-2.2 to V-2.4). */
  async ofToken(token: string): Promise<User> {
    const claims = await this.#verify(token);
    const id = v.safeParse(Id, claims[this.#options.userClaim]);
    if (!id.success) throw unauthorized("the token names no user");
    const role = claims[this.#options.roleClaim];
    return { id: id.output, sides: role === undefined ? BOTH : sidesNamed(role), expires: claims.exp * 1000 };
  }

  /** V-2.13, V-2.14. */
  async #ofHeaders({ header, peer }: Evidence): Promise<User> {
    const id = header("x-chozoi-user-id");
    if (!this.#options.proxies.trusts(peer)) throw unauthorized("not from a trusted proxy");
    if (id === undefined || !ID.test(id)) throw unauthorized("the proxy names no user");
    const role = header("x-chozoi-user-role");
    const sides = role === "BUYER" || role === "SELLER" ? ([role] as const) : BOTH;
    return { id, sides, expires: Number.POSITIVE_INFINITY };
  }

  async #verify(token: string): Promise<Claims> {
    try {
      return await this.#verifier.verify(token);
    } catch (error) {
      if (error instanceof TokenRefused) throw errors.fault("UNAUTHORIZED", { cause: error });
      throw error;
    }
  }
}

function sidesNamed(claim: unknown): Side[] {
  const names = v.parse(Roles, claim).map((role) => String(role).toUpperCase());
  return BOTH.filter((side) => names.includes(side));
}
