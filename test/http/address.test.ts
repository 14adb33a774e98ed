import { describe, expect, test } from "bun:test";
import { clientInfo, trustedProxies } from "../../src/http/address.ts";

const proxies = trustedProxies(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
const address = (peer: string, forwarded?: string) =>
  clientInfo(peer, new Headers(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }), proxies, false)
    .address;

describe("address of a caller (T-3.26)", () => {
  test("is the peer when the peer is not a trusted proxy, whatever it claims", () => {
    expect(address("203.0.113.9", "198.51.100.1")).toBe("203.0.113.9");
  });

  test("is the right-most untrusted entry behind a trusted proxy", () => {
    expect(address("10.1.2.3", "198.51.100.1, 203.0.113.5, 192.0.2.7")).toBe("203.0.113.5");
    expect(address("2001:db8::1", "198.51.100.1")).toBe("198.51.100.1");
  });

  test("is the left-most proxy when all entries are trusted", () => {
    expect(address("10.1.2.3", "10.9.9.9, 10.8.8.8")).toBe("10.9.9.9");
  });

  test("stops at an entry that is no address", () => {
    expect(address("10.1.2.3", "198.51.100.1, unknown, 10.8.8.8")).toBe("10.8.8.8");
  });

  test("reads an IPv4 address that came over IPv6", () => {
    expect(address("::ffff:10.1.2.3", "198.51.100.1")).toBe("198.51.100.1");
  });

  test("takes the scheme from a trusted proxy only", () => {
    const headers = new Headers({ "x-forwarded-proto": "https" });
    expect(clientInfo("10.1.2.3", headers, proxies, false).secure).toBe(true);
    expect(clientInfo("203.0.113.9", headers, proxies, false).secure).toBe(false);
  });

  test("names the proxy beside the caller (V-2.14)", () => {
    const headers = new Headers({ "x-forwarded-for": "198.51.100.1" });
    expect(clientInfo("::ffff:10.1.2.3", headers, proxies, false)).toMatchObject({ proxy: "10.1.2.3" });
    expect(clientInfo("203.0.113.9", headers, proxies, false)).not.toHaveProperty("proxy");
    expect(clientInfo("10.1.2.3", new Headers(), proxies, false)).not.toHaveProperty("proxy");
  });

  test("refuses entries that are neither addresses nor blocks", () => {
    for (const entry of ["proxy.example", "10.0.0.0/33", "10.0.0.0/x", ""]) {
      expect(() => trustedProxies([entry])).toThrow("neither an IP address nor a CIDR block");
    }
  });
});
