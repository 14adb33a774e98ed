import { accessSync, constants, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { SettingFault } from "./fault.ts";
import type { GatewaySettings } from "./gateway.ts";
import { nearest } from "./nearest.ts";

/** Faults of the gateway's own settings that a single schema cannot see. Values that did not fit are undefined. */
export function gatewayFaults(settings: Partial<GatewaySettings>): SettingFault[] {
  const faults: SettingFault[] = [];
  const { port, internalPort, databaseUrl, redisUrl, dataDir } = settings;
  if (port !== undefined && port !== 0 && port === internalPort) {
    faults.push({
      setting: "INTERNAL_PORT",
      fault: `is ${port}, the same as PORT`,
      remedy: "give health, metrics and administration a port of their own",
    });
  }
  if (databaseUrl !== undefined && !isPostgresUrl(databaseUrl)) {
    faults.push({
      setting: "DATABASE_URL",
      fault: "is not an address of Postgres",
      // Written apart from the address, where it would be masked as a real login is.
      remedy:
        "write postgres://host:5432/name, with user:password@ before the host and %-escapes for @ : / # in either",
    });
  }
  if (redisUrl !== undefined && !/^rediss?(\+(sentinel|cluster))?:\/\/[^/]/i.test(redisUrl)) {
    faults.push({
      setting: "REDIS_URL",
      fault: "is not an address of Redis",
      remedy: "write redis://host:6379, or rediss://, redis+sentinel:// or redis+cluster://",
    });
  }
  if (dataDir !== undefined && databaseUrl === undefined) {
    const reason = whyNotWritable(dataDir);
    if (reason !== null) {
      faults.push({
        setting: "DATA_DIR",
        fault: `is "${dataDir}", where the embedded database cannot be kept: ${reason}`,
        remedy: "name a folder that this user may write to, or set DATABASE_URL",
      });
    }
  }
  return faults;
}

/** Faults of PROTOCOLS, given the names there are. */
export function unknownProtocols(wanted: readonly string[], names: readonly string[]): SettingFault[] {
  return wanted
    .filter((name) => !names.includes(name))
    .map((name) => {
      const meant = nearest(name, names);
      return {
        setting: "PROTOCOLS",
        fault: `names "${name}", which is no protocol of this gateway`,
        remedy: meant === null ? `choose from ${names.join(", ")}` : `write ${meant}`,
      };
    });
}

/** Several hosts in one address, which the driver takes, are no URL; anything else has to be one. */
function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//i.test(text) && (URL.canParse(text) || /@?[^/@]+:\d+,/.test(text));
}

/** Why nothing can be written to a folder that may not exist yet; null when it can. */
function whyNotWritable(folder: string): string | null {
  let nearestFolder = resolve(folder);
  for (;;) {
    try {
      if (!statSync(nearestFolder).isDirectory()) return `${nearestFolder} is not a folder`;
      accessSync(nearestFolder, constants.W_OK | constants.X_OK);
      return null;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code !== "ENOENT" || nearestFolder === dirname(nearestFolder)) return `${nearestFolder}: ${String(code)}`;
      nearestFolder = dirname(nearestFolder);
    }
  }
}

/** What is allowed in production but seldom meant. */
export function gatewayWarnings(settings: GatewaySettings): string[] {
  const warnings: string[] = [];
  if (settings.databaseUrl === undefined) {
    warnings.push("DATABASE_URL is not set: the embedded database in DATA_DIR serves, for one node only");
  }
  if (settings.redisUrl === undefined) {
    warnings.push("REDIS_URL is not set: a second node would not see the rooms and presence of this one");
  }
  if (!["127.0.0.1", "::1", "localhost"].includes(settings.internalHost)) {
    warnings.push(`INTERNAL_HOST is ${settings.internalHost}: keep metrics and administration off the internet`);
  }
  if (settings.trustedProxies.some((block) => block.endsWith("/0"))) {
    warnings.push("TRUSTED_PROXIES believes everybody: any client may claim any address");
  }
  if (settings.jwtSecret !== undefined && settings.jwtSecret.length < 32) {
    warnings.push("JWT_SECRET is shorter than the 32 characters that HS256 deserves (RFC 7518, 3.2)");
  }
  return warnings;
}
