import { commands, type Entry } from "./commands.ts";
import { protocolCommands } from "./protocol-commands.ts";
import { parseArguments, UsageError } from "./usage.ts";

/** `patchbay help [<command>]` */
export async function run(args: readonly string[]): Promise<number> {
  const name = parseArguments(args, {}, { most: 2 }).positionals.join(" ");
  const all = { ...commands, ...(await protocolCommands()) };
  console.log(name === "" ? overview(all) : details(name, all));
  return 0;
}

function overview(all: Readonly<Record<string, Entry>>): string {
  const width = Math.max(...Object.keys(all).map((name) => name.length));
  const lines = Object.entries(all).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    "Usage: patchbay [<command>] [<options>]",
    "",
    ...lines,
    "",
    "Settings come from the environment: `patchbay env` lists them.",
  ].join("\n");
}

function details(name: string, all: Readonly<Record<string, Entry>>): string {
  const command = Object.hasOwn(all, name) ? all[name] : undefined;
  if (command === undefined) throw new UsageError(`there is no command ${name}`);
  const head = `Usage: patchbay ${name} ${command.synopsis}`.trimEnd();
  return [head, command.summary, ...(command.details === undefined ? [] : ["", command.details])].join("\n");
}
