/**
 * What never reaches a log (T-6.12, C-6.8, V-2.18, F-2.18, W-2.2), in two lists: names of fields, whose whole value is
 * hidden wherever they stand, and patterns, which are looked for in every finished line.
 */

/** Names in lower case without `_` and `-`; `accessToken`, `access_token` and `access-token` are one name. */
const hiddenNames = new Set([
  // Credentials. Names that end in token, secret or password are hidden too.
  "auth",
  "authorization",
  "proxyauthorization",
  "cookie",
  "setcookie",
  "jwt",
  "passwd",
  "passwordhash",
  "pin",
  "pins",
  "apikey",
  "privatekey",
  "secretkey",
  "sessid",
  // Where somebody is.
  "lat",
  "latitude",
  "lon",
  "lng",
  "long",
  "longitude",
  "loc",
  "location",
  "coords",
  "coordinates",
  "position",
  // What somebody wrote.
  "content",
  "txt",
]);
const hiddenEnding = /(?:token|secret|password)s?$/;

export const hidden = "[hidden]";

/** Verdicts by name as written. Names come from our own code; the cap is against a caller that logs a foreign object. */
const verdicts = new Map<string, boolean>();

/** True for the name of a field whose value must not be logged. */
export function isHiddenName(name: string): boolean {
  let verdict = verdicts.get(name);
  if (verdict === undefined) {
    const plain = name.toLowerCase().replace(/[-_]/g, "");
    verdict = hiddenNames.has(plain) || hiddenEnding.test(plain);
    if (verdicts.size < 1_000) verdicts.set(name, verdict);
  }
  return verdict;
}

/** Three base64url parts, of which the first begins as `{"` does: a JWT, whatever stands around it. */
const jwt = /\beyJ[\w-]{4,}\.[\w-]+\.[\w-]*/g;
const scheme = /\b(Bearer|Basic)(\s+|%20)[^\s"'\\,;]+/gi;
const query =
  /([?&;](?:access_token|refresh_token|id_token|token|sessid|api_?key|key|secret|password|pin|code|lat|lon|lng|long|latitude|longitude|location)=)[^&\s"'\\#;]+/gi;
/** A hidden name inside JSON that was logged as text: its quotes are escaped, the names of fields proper have plain ones. */
const quoted =
  /(\\"(?:\w*token|\w*secret|\w*password|authorization|cookie|pin|sessid|lat|latitude|lng|lon|long|longitude)\\"\s*:\s*(?:\\")?)[^"\\,}\]\s]+/gi;
/** User and password of an address: `redis://:password@host`. */
const userinfo = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/"'\\@]+@/gi;

/** Hides tokens, and secrets inside addresses, in free text. What is hidden never contains a quote, so JSON stays JSON. */
export function maskText(text: string): string {
  return text
    .replace(jwt, hidden)
    .replace(scheme, `$1 ${hidden}`)
    .replace(query, `$1${hidden}`)
    .replace(quoted, `$1${hidden}`)
    .replace(userinfo, `$1${hidden}@`);
}
