/** A Redis URL that cannot be understood. The message never repeats the URL: it may hold a password. */
export class BadRedisUrl extends Error {
  override readonly name = "BadRedisUrl";
}

export interface Host {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is and how to get in. */
export interface RedisAddress {
  readonly kind: "standalone" | "sentinel" | "cluster";
  /** The server itself, the sentinels, or some nodes of the cluster. Never empty. */
  readonly hosts: readonly Host[];
  /** What the sentinels call the master; empty without sentinels. */
  readonly master: string;
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
  /** Login at the sentinels themselves, where they ask for one. */
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  readonly db: number;
}

const shape =
  /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?<authority>[^/?#]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/i;

/**
 * Reads a Redis URL, written with `redis` or, for TLS, with `rediss`:
 *
 * - `redis://[user:password@]host[:port][/db]`
 * - `redis+sentinel://[user:password@]host[:port],host[:port]/master-name[/db]`, where `?sentinelUsername=` and
 *   `?sentinelPassword=` log in at the sentinels
 * - `redis+cluster://[user:password@]host[:port],host[:port]`
 *
 * @throws {BadRedisUrl}
 */
export function parseRedisUrl(url: string): RedisAddress {
  const parts = shape.exec(url.trim())?.groups;
  if (parts === undefined) {
    throw new BadRedisUrl("expected a Redis URL: redis://, rediss://, redis+sentinel:// or redis+cluster://");
  }
  const kind = parts.kind === undefined ? "standalone" : (parts.kind.toLowerCase() as "sentinel" | "cluster");
  const authority = parts.authority ?? "";
  // The last @, so that a password which holds one needs no escape.
  const at = authority.lastIndexOf("@");
  const path = (parts.path ?? "").split("/").slice(1).map(decode);
  if (path.at(-1) === "") path.pop();
  const master = kind === "sentinel" ? (path.shift() ?? "") : "";
  if (kind === "sentinel" && master === "") {
    throw new BadRedisUrl("a sentinel URL names its master: redis+sentinel://host:port/master-name");
  }
  return {
    kind,
    hosts: parseHosts(authority.slice(at + 1), kind),
    master,
    tls: parts.tls !== "",
    db: parseDatabase(path, kind),
    ...parseLogin(at < 0 ? "" : authority.slice(0, at)),
    ...parseQuery(parts.query ?? "", kind),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BadRedisUrl("the Redis URL holds a % that escapes nothing; write a literal % as %25");
  }
}

function parseLogin(login: string): { username?: string; password?: string } {
  const colon = login.indexOf(":");
  const username = decode(colon < 0 ? login : login.slice(0, colon));
  const password = colon < 0 ? "" : decode(login.slice(colon + 1));
  if (username !== "" && password === "") throw new BadRedisUrl("the Redis URL names a user without a password");
  return { ...(username === "" ? {} : { username }), ...(password === "" ? {} : { password }) };
}

function parseHosts(list: string, kind: RedisAddress["kind"]): Host[] {
  const hosts = list.split(",").map((item): Host => {
    // An IPv6 address stands in brackets, as its colons would be taken for the port's.
    const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i.exec(item.trim());
    const port = Number(match?.[3] ?? (kind === "sentinel" ? 26379 : 6379));
    if (match === null || port < 1 || port > 65535) throw new BadRedisUrl("the Redis URL has no usable host and port");
    return { host: (match[1] ?? match[2])!, port };
  });
  if (kind === "standalone" && hosts.length > 1) {
    throw new BadRedisUrl("several Redis hosts need redis+sentinel:// or redis+cluster://");
  }
  return hosts;
}

function parseDatabase(path: readonly string[], kind: RedisAddress["kind"]): number {
  const [db = "0", ...rest] = path;
  if (!/^\d{1,4}$/.test(db) || rest.length > 0) throw new BadRedisUrl("the Redis URL's database is not a number");
  if (kind === "cluster" && Number(db) !== 0) throw new BadRedisUrl("a Redis cluster has only database 0");
  return Number(db);
}

function parseQuery(
  query: string,
  kind: RedisAddress["kind"],
): { sentinelUsername?: string; sentinelPassword?: string } {
  const known = kind === "sentinel" ? ["sentinelUsername", "sentinelPassword"] : [];
  const parameters = Object.fromEntries(new URLSearchParams(query));
  for (const name of Object.keys(parameters)) {
    if (!known.includes(name)) throw new BadRedisUrl("the Redis URL has a parameter that is not known here");
  }
  return parameters;
}
