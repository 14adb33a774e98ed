import type { Clock } from "../clock.ts";

/** Why a token was refused; for the log and for protocols that tell expiry apart. */
export type TokenFault = "missing" | "malformed" | "algorithm" | "signature" | "expired" | "claims";

/** A token that does not verify. */
export class TokenRefused extends Error {
  override readonly name = "TokenRefused";
  readonly fault: TokenFault;

  constructor(fault: TokenFault, options?: ErrorOptions) {
    super(`token refused: ${fault}`, options);
    this.fault = fault;
  }
}

/** The token cannot be checked now (published keys out of reach and none cached). */
export class TokenCheckUnavailable extends Error {
  override readonly name = "TokenCheckUnavailable";
}

/** Claims of a verified token. `exp` was there and lies ahead. */
export interface Claims {
  readonly exp: number;
  readonly sub?: string | number;
  readonly [claim: string]: unknown;
}

/** Where a verifier gets its keys and what it insists on. All times are milliseconds. */
export interface VerifierOptions {
  readonly clock: Clock;
  /** HS256 secret. */
  readonly secret?: string | undefined;
  /** An older HS256 secret, believed until a date. */
  readonly previous?: { readonly secret: string; readonly until: Date } | undefined;
  /** Published keys (RS256/384/512, PS256/384/512, ES256/384, EdDSA), found by `kid`. */
  readonly jwksUrl?: string | undefined;
  /** Least time between two fetches of the published keys. */
  readonly jwksCooldown?: number;
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
  readonly clockSkew: number;
}

/** Checks tokens. */
export interface Verifier {
  /** Throws {@link TokenRefused} or {@link TokenCheckUnavailable}. */
  verify(token: string): Promise<Claims>;
}
