import { gatewayFaults, gatewayWarnings, unknownProtocols } from "./check.ts";
import { type SettingFault, SettingsInvalid } from "./fault.ts";
import { type GatewaySettings, gatewaySection } from "./gateway.ts";
import { fillSecrets } from "./generate.ts";
import { type Environment, readSection } from "./read.ts";
import type { Section, Values } from "./setting.ts";
import { unknownSettings } from "./unknown.ts";

/** What of a protocol concerns its settings. */
export interface Configured<S extends Section = Section> {
  readonly name: string;
  readonly settings: S;
  /** Faults that only show across several settings. */
  check?(values: Values<S>): readonly SettingFault[];
}

/** Settings that passed every check. */
export interface Loaded {
  readonly gateway: GatewaySettings;
  /** True for a protocol that PROTOCOLS lets in and that is not switched off by its own `enabled`. */
  serves(protocol: string): boolean;
  /** The settings of a protocol. Throws for one that is not served, whose secrets may be missing. */
  of<S extends Section>(protocol: Configured<S>): Values<S>;
  /** One line each, for the log. */
  readonly warnings: readonly string[];
}

/** Reads the settings of the gateway alone. Throws {@link SettingsInvalid}. */
export function loadGateway(environment: Environment): GatewaySettings {
  const { gateway, faults } = readGateway(environment);
  if (faults.length > 0) throw new SettingsInvalid(faults);
  return gateway;
}

/** With faults the settings are not whole: a value that did not fit is undefined, and nobody may get to see it. */
function readGateway(environment: Environment): { gateway: GatewaySettings; faults: SettingFault[] } {
  const { values, faults } = readSection(gatewaySection, environment);
  const gateway = values as GatewaySettings;
  return { gateway, faults: [...faults, ...gatewayFaults(gateway)] };
}

/**
 * Reads the settings of the gateway and of these protocols from the environment. Secrets that are not set are made and
 * kept in DATA_DIR outside production; with `keep: false` nothing is written.
 *
 * Throws {@link SettingsInvalid} with every fault at once.
 */
export function loadSettings(
  protocols: readonly Configured[],
  environment: Environment,
  options: { keep?: boolean } = {},
): Loaded {
  const production = environment.NODE_ENV === "production";
  const { gateway, faults } = readGateway(environment);
  const readings = protocols.map((protocol) => ({ protocol, ...readSection(protocol.settings, environment) }));
  const served = readings.filter(
    ({ protocol, values }) =>
      (!gateway.protocols?.length || gateway.protocols.includes(protocol.name)) && values.enabled !== false,
  );
  faults.push(...readings.flatMap((reading) => reading.faults));
  faults.push(
    ...unknownProtocols(
      gateway.protocols ?? [],
      protocols.map(({ name }) => name),
    ),
  );
  const secrets = fillSecrets(served, gateway, { production, keep: (options.keep ?? true) && faults.length === 0 });
  faults.push(...secrets.faults);
  for (const { protocol, values, faults: broken } of served) {
    if (broken.length === 0 && secrets.faults.length === 0) faults.push(...(protocol.check?.(values) ?? []));
  }
  if (faults.length > 0) throw new SettingsInvalid(withoutRepeats(faults));

  const byName = new Map(served.map(({ protocol, values }) => [protocol.name, values]));
  return {
    gateway,
    warnings: [
      ...unknownSettings(protocols, environment),
      ...secrets.warnings,
      ...(production ? gatewayWarnings(gateway) : []),
    ],
    serves: (protocol) => byName.has(protocol),
    of<S extends Section>(protocol: Configured<S>): Values<S> {
      const values = byName.get(protocol.name);
      if (values === undefined) throw new Error(`${protocol.name} is not served`);
      return values as Values<S>;
    },
  };
}

/** A bad value that several protocols inherit is one fault. */
function withoutRepeats(faults: readonly SettingFault[]): SettingFault[] {
  return [...new Map(faults.map((fault) => [`${fault.setting} ${fault.fault}`, fault])).values()];
}
