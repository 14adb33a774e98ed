import { describeSettings, type SettingRow, settingsMarkdown } from "../config/describe.ts";
import { type Environment, textOf } from "../config/read.ts";
import { protocols } from "../protocols/index.ts";
import { parseArguments } from "./usage.ts";

/** `patchbay env [--markdown]` */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  const { markdown } = parseArguments(args, { markdown: { type: "boolean" } }).values;
  const groups = describeSettings(protocols);
  if (markdown) {
    console.log(settingsMarkdown(groups));
  } else {
    const blocks = groups.map(({ heading, rows }) => [`## ${heading}`, ...rows.map((row) => line(row, env))]);
    console.log(blocks.map((block) => block.join("\n\n")).join("\n\n\n"));
  }
  return 0;
}

/** A setting as it would stand in an env file; one that is not set is commented out. */
function line({ name, fallback, meaning, secret }: SettingRow, env: Environment): string {
  const value = textOf(env, name);
  const setting = value === null ? `# ${name}=` : `${name}=${secret ? "********" : quoted(value)}`;
  return `# ${meaning} Default: ${fallback}.\n${setting}`;
}

/** Quoted where an env file needs it. */
function quoted(value: string): string {
  return /[\s#"'$`\\]/.test(value) ? JSON.stringify(value) : value;
}
