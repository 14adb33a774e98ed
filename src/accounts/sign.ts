import { SignJWT } from "jose";

/**
 * Signs claims as an HS256 token. The same claims in the same order give the same token every time; `exp` is in seconds
 * since the epoch, as in every JWT.
 */
export function signToken(
  claims: { readonly exp: number; readonly [claim: string]: unknown },
  secret: string,
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(new TextEncoder().encode(secret));
}
