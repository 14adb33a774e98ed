import { createHmac } from "node:crypto";

/** Shared secret of the measured gateways. It guards nothing: they live on this machine for some seconds. */
export const SECRET = "a secret of the benchmark alone";

/** Seconds a token is good for. */
const LIFETIME = 3600;

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The `Authorization` header of somebody of whom a token says this. */
export function bearer(claims: Readonly<Record<string, unknown>>): string {
  const exp = Math.floor(Date.now() / 1000) + LIFETIME;
  const signed = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded({ ...claims, exp })}`;
  return `Bearer ${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}
