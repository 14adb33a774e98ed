/** True when two addresses are of one client as far as can be told; all loopback addresses count as one. */
export function sameAddress(one: string, other: string): boolean {
  return one === other || canonical(one) === canonical(other);
}

function canonical(address: string): string {
  const bare = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return bare === "::1" || bare.startsWith("127.") ? "loopback" : bare;
}
