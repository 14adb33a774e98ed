import * as v from "valibot";
import type { SettingFault } from "./fault.ts";
import { type Section, type Setting, variable } from "./setting.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A section as the environment gives it, before secrets are generated. */
export interface SectionReading {
  readonly values: Record<string, unknown>;
  readonly faults: readonly SettingFault[];
  /** Keys of the settings that have `generated`, no value, and nothing set that makes them optional. */
  readonly missing: readonly string[];
}

/** The text of a variable. Set to nothing counts as not set: that is what compose files make of an absent variable. */
export function textOf(environment: Environment, name: string): string | null {
  const text = environment[name];
  return text === undefined || text.trim() === "" ? null : text;
}

/** Reads every setting of a section and collects what is wrong. */
export function readSection(section: Section, environment: Environment): SectionReading {
  const values: Record<string, unknown> = {};
  const faults: SettingFault[] = [];
  const missing: string[] = [];
  for (const [key, setting] of Object.entries(section.settings)) {
    const { name, text } = source(environment, variable(section.prefix, key), setting);
    values[key] = undefined;
    if (text === null) {
      if (setting.generated !== undefined) missing.push(key);
      continue;
    }
    const parsed = v.safeParse(setting.schema, text);
    if (parsed.success) values[key] = parsed.output;
    else faults.push(faultOf(name, setting, text, parsed.issues[0].message));
  }
  const needed = (key: string) => !applies(section.settings[key]?.generated?.unless, section, values, environment);
  return { values, faults, missing: missing.filter(needed) };
}

/** Where a setting's text comes from: its own variable, the one it inherits, or its default. */
function source(environment: Environment, name: string, setting: Setting): { name: string; text: string | null } {
  const own = textOf(environment, name);
  if (own !== null || setting.inherits === undefined) return { name, text: own ?? setting.fallback };
  const inherited = textOf(environment, setting.inherits);
  return inherited === null ? { name, text: setting.fallback } : { name: setting.inherits, text: inherited };
}

function faultOf(name: string, setting: Setting, text: string, expected: string): SettingFault {
  const shown = setting.secret ? "is not acceptable" : `is "${text.length > 60 ? `${text.slice(0, 60)}…` : text}"`;
  const remedy =
    setting.fallback === null || setting.fallback === ""
      ? "correct it, or remove it if it is not needed"
      : `correct it, or remove it to get ${setting.fallback}`;
  return { setting: name, fault: `${shown} (${expected})`, remedy };
}

/** True when the named setting is set; `NAME=value` asks for that value of this section, however it is spelled. */
function applies(
  condition: string | undefined,
  section: Section,
  values: Readonly<Record<string, unknown>>,
  environment: Environment,
): boolean {
  if (condition === undefined) return false;
  const [name = "", wanted] = condition.split("=");
  if (wanted === undefined) return textOf(environment, name) !== null;
  const key = Object.keys(section.settings).find((candidate) => variable(section.prefix, candidate) === name);
  if (key === undefined) return false;
  const parsed = v.safeParse(section.settings[key]!.schema, wanted);
  return parsed.success && parsed.output === values[key];
}
