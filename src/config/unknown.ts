import { gatewaySection } from "./gateway.ts";
import { nearest } from "./nearest.ts";
import type { Environment } from "./read.ts";
import { type Section, settingNames } from "./setting.ts";

/** Warnings about variables that carry a protocol's prefix but are none of its settings (T-9.1, C-9.1, W-14.20). */
export function unknownSettings(
  protocols: readonly { readonly settings: Section }[],
  environment: Environment,
): string[] {
  const sections = protocols.map((protocol) => protocol.settings);
  const known = new Set([gatewaySection, ...sections].flatMap(settingNames));
  const prefixes = sections.map((section) => `${section.prefix}_`);
  return Object.keys(environment)
    .filter((name) => !known.has(name) && prefixes.some((prefix) => name.startsWith(prefix)))
    .map((name) => {
      const meant = nearest(name, known);
      return `${name} is not a setting${meant === null ? "" : `; did you mean ${meant}?`}`;
    });
}
