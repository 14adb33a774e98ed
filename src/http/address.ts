import { BlockList, isIP } from "node:net";
import type { ClientInfo } from "./routes.ts";

/** Addresses whose forwarding headers are believed. */
export interface TrustedProxies {
  trusts(address: string): boolean;
}

/** Takes single addresses and CIDR blocks; throws on anything else, naming it. */
export function trustedProxies(entries: readonly string[]): TrustedProxies {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", prefix] = entry.split("/");
    const family = isIP(address);
    const bits = prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix);
    if (family === 0 || !Number.isInteger(bits) || bits < 0 || bits > (family === 6 ? 128 : 32)) {
      throw new Error(`${entry} is neither an IP address nor a CIDR block`);
    }
    list.addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
  }
  return {
    trusts(address) {
      const family = isIP(address);
      return family !== 0 && list.check(address, family === 6 ? "ipv6" : "ipv4");
    },
  };
}

/** An IPv4 address that came over an IPv6 socket is still an IPv4 address. */
function plain(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address;
}

/**
 * Who is calling: the peer, or, when the peer is a trusted proxy, the right-most entry of `X-Forwarded-For` that is not
 * one itself. Entries that are no addresses end the walk, since nothing left of them can be believed.
 */
export function clientInfo(peer: string, headers: Headers, proxies: TrustedProxies, encrypted: boolean): ClientInfo {
  let address = plain(peer);
  if (!proxies.trusts(address)) return { address, secure: encrypted };
  const forwarded = headers.get("x-forwarded-for")?.split(",") ?? [];
  for (let i = forwarded.length - 1; i >= 0 && proxies.trusts(address); i--) {
    const next = plain(forwarded[i]!.trim());
    if (isIP(next) === 0) break;
    address = next;
  }
  const proxy = plain(peer);
  const secure = encrypted || headers.get("x-forwarded-proto") === "https";
  return { address, secure, ...(address !== proxy && { proxy }) };
}
