import { type CryptoKey, createLocalJWKSet, errors, type JWSHeaderParameters, type LocalJWKSet } from "jose";
import * as v from "valibot";
import type { Clock } from "../clock.ts";
import { TokenCheckUnavailable } from "./tokens.ts";

/** Milliseconds after which cached keys are fetched anew, so that a withdrawn key stops being believed. */
const maxAge = 10 * 60_000;
const fetchTimeout = 5_000;
/** Milliseconds between attempts while no keys are there at all: nobody can log in, so try often. */
const retryDelay = 1_000;

/** The outer shape of a key set (RFC 7517 section 5); jose looks at each key when it is used. */
const KeySet = v.object({ keys: v.array(v.looseObject({ kty: v.string() })) });

/**
 * The keys an issuer publishes. jose has the same on board, but bound to the system's clock. Keys that were fetched once
 * serve on while the issuer is away.
 */
export class PublishedKeys {
  readonly #url: string;
  readonly #clock: Clock;
  readonly #cooldown: number;
  #keys: LocalJWKSet | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<boolean> | null = null;

  /** `cooldown`: least milliseconds between two fetches that tokens can cause. */
  constructor(url: string, { clock, cooldown }: { readonly clock: Clock; readonly cooldown: number }) {
    this.#url = url;
    this.#clock = clock;
    this.#cooldown = cooldown;
  }

  /**
   * The key that a token's header names. Throws {@link TokenCheckUnavailable} when there are no keys and none can be
   * had, and jose's `JWKSNoMatchingKey` when the issuer does not publish this one.
   */
  async find(header: JWSHeaderParameters): Promise<CryptoKey> {
    if (!this.#keys) await this.#refresh(Math.min(retryDelay, this.#cooldown));
    else if (this.#clock.elapsed() - this.#fetchedAt > maxAge) void this.#refresh(this.#cooldown);
    if (!this.#keys) throw new TokenCheckUnavailable("the published keys cannot be fetched");
    try {
      return await this.#keys(header);
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey;
      if (isUnknown && (await this.#refresh(this.#cooldown))) return this.#keys(header);
      throw error;
    }
  }

  /** Fetches the keys unless that was tried less than `pause` ms ago. True when there are newer keys now. Never rejects. */
  async #refresh(pause: number): Promise<boolean> {
    if (this.#pending) return this.#pending;
    if (this.#clock.elapsed() - this.#triedAt < pause) return false;
    this.#triedAt = this.#clock.elapsed();
    this.#pending = this.#fetch();
    try {
      return await this.#pending;
    } finally {
      this.#pending = null;
    }
  }

  async #fetch(): Promise<boolean> {
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(fetchTimeout) });
      if (!response.ok) return false;
      this.#keys = createLocalJWKSet(v.parse(KeySet, await response.json()));
      this.#fetchedAt = this.#clock.elapsed();
      return true;
    } catch {
      return false;
    }
  }
}
