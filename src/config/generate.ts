import { join } from "node:path";
import type { SettingFault } from "./fault.ts";
import type { GatewaySettings } from "./gateway.ts";
import { keptSecrets, SecretsUnusable, secretsFile } from "./secrets.ts";
import { type Section, variable } from "./setting.ts";

/** A section that was read: its values, and the keys of generated secrets that have none yet. */
interface Reading {
  readonly protocol: { readonly settings: Section };
  readonly values: Record<string, unknown>;
  readonly missing: readonly string[];
}

/** A secret to be made, and the settings that take it. */
interface Need {
  /** The variable it is kept under, and can be set by. */
  readonly name: string;
  readonly production: boolean;
  readonly takers: { readonly name: string; readonly unless: string | undefined; take(secret: string): void }[];
}

/**
 * Gives every missing secret a value: in production a fault each, elsewhere one that is made once and kept in DATA_DIR
 * (with `keep: false` one that is made up and forgotten).
 */
export function fillSecrets(
  readings: readonly Reading[],
  gateway: GatewaySettings,
  options: { production: boolean; keep: boolean },
): { faults: SettingFault[]; warnings: string[] } {
  const needs = collectNeeds(readings);
  const refused = options.production ? needs.filter((need) => !need.production) : [];
  if (refused.length > 0) return { faults: refused.map(notSet), warnings: [] };
  if (needs.length === 0) return { faults: [], warnings: [] };

  const names = needs.map((need) => need.name);
  try {
    const secrets = keptSecrets(gateway.dataDir, names, options.keep);
    for (const { name, takers } of needs) for (const taker of takers) taker.take(secrets[name]!);
  } catch (error) {
    if (!(error instanceof SecretsUnusable)) throw error;
    const remedy = `restore ${secretsFile}, or remove it to get new secrets (old tokens end), or set ${names.join(", ")}`;
    return { faults: [{ setting: "DATA_DIR", fault: `cannot give secrets: ${error.message}`, remedy }], warnings: [] };
  }
  const file = join(gateway.dataDir, secretsFile);
  const shared = gateway.redisUrl === undefined ? "" : ", which every node needs alike";
  const how = options.keep ? "using what is kept" : "a start takes what it keeps";
  return { faults: [], warnings: [`${names.join(", ")} not set: ${how} in ${file}${shared}`] };
}

function collectNeeds(readings: readonly Reading[]): Need[] {
  const needs = new Map<string, Need>();
  for (const { protocol, values, missing } of readings) {
    for (const key of missing) {
      const { inherits, generated } = protocol.settings.settings[key]!;
      const own = variable(protocol.settings.prefix, key);
      const name = inherits ?? own;
      const need = needs.get(name) ?? { name, production: generated?.production === true, takers: [] };
      needs.set(name, need);
      need.takers.push({
        name: own,
        unless: generated?.unless,
        take: (secret) => {
          values[key] = secret;
        },
      });
    }
  }
  return [...needs.values()];
}

function notSet({ name, takers }: Need): SettingFault {
  const inheritors = takers.map((taker) => taker.name).filter((taker) => taker !== name);
  const instead = takers.map((taker) => [taker.name, taker.unless].filter((way) => way && way !== name).join(" or "));
  const others = instead.filter((way) => way !== "").join(", ");
  return {
    setting: name,
    fault: inheritors.length === 0 ? "is not set" : `is not set, and neither is ${inheritors.join(", ")}`,
    remedy: `set it to the output of \`openssl rand -base64 32\`${others === "" ? "" : `, or set ${others} instead`}`,
  };
}
