import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** What is stored of a key, a token or a SESSID (F-2.18): they are random, so one pass of SHA-256 is enough. */
export const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("base64url");

/** Compares a secret with a stored hash in constant time. */
export function matchesHash(secret: string, hash: string): boolean {
  return sameText(hashOf(secret), hash);
}

/** Compares two secrets in constant time. */
export function sameSecret(given: string, expected: string): boolean {
  return sameText(hashOf(given), hashOf(expected));
}

function sameText(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A new key or token. */
export const newSecret = (): string => randomBytes(24).toString("base64url");

/** Characters of a SESSID. */
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** A new SESSID (F-2.4). */
export function newSessid(): string {
  let sessid = "";
  while (sessid.length < 26) {
    // 248 is the largest multiple of 62 in a byte: every letter is as likely as any other.
    for (const byte of randomBytes(32)) if (byte < 248 && sessid.length < 26) sessid += letters[byte % 62];
  }
  return sessid;
}
