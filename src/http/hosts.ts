/** True when a request names one of these hosts, or when none are named. A port counts only where the list has one. */
export function servesHost(hosts: readonly string[] | undefined, request: Request): boolean {
  if (hosts === undefined || hosts.length === 0) return true;
  const host = request.headers.get("host")?.toLowerCase() ?? "";
  const name = host.replace(/:\d+$/, "");
  return hosts.some((served) => served.toLowerCase() === host || served.toLowerCase() === name);
}
