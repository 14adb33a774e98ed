import { gatewaySection } from "./gateway.ts";
import { type Section, type Setting, variable } from "./setting.ts";

/** A setting as a person reads about it. */
export interface SettingRow {
  readonly name: string;
  /** The default in words or as it would be written. */
  readonly fallback: string;
  readonly meaning: string;
  readonly secret: boolean;
}

/** The rows of one section, under its heading. */
export interface SettingGroup {
  readonly heading: string;
  readonly rows: readonly SettingRow[];
}

/** Every setting of the gateway and of these protocols, in the order of their declaration. */
export function describeSettings(
  protocols: readonly { readonly name: string; readonly settings: Section }[],
): SettingGroup[] {
  return [
    { heading: "gateway", rows: rowsOf(gatewaySection) },
    ...protocols.map(({ name, settings }) => ({ heading: name, rows: rowsOf(settings) })),
  ];
}

function rowsOf({ prefix, settings }: Section): SettingRow[] {
  return Object.entries(settings).map(([key, setting]) => ({
    name: variable(prefix, key),
    fallback: fallbackOf(setting),
    meaning: setting.meaning,
    secret: setting.secret,
  }));
}

function fallbackOf({ fallback, inherits, generated }: Setting): string {
  if (inherits !== undefined) return `that of ${inherits}`;
  if (generated?.production) return "made at the first start";
  if (generated !== undefined) return "required in production, else made at the first start";
  return fallback === null || fallback === "" ? "none" : fallback;
}

/** The settings as Markdown tables, one a section. */
export function settingsMarkdown(groups: readonly SettingGroup[]): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  return groups
    .map(({ heading, rows }) =>
      [
        `**${heading}**`,
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
        ...rows.map(({ name, fallback, meaning }) => `| \`${name}\` | ${cell(fallback)} | ${cell(meaning)} |`),
      ].join("\n"),
    )
    .join("\n\n");
}
