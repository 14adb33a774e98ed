import { commands } from "./commands.ts";
import { parseArguments, UsageError } from "./usage.ts";

/** `patchbay help [<command>]` */
export async function run(args: readonly string[]): Promise<number> {
  const [name] = parseArguments(args, {}, { most: 1 }).positionals;
  console.log(name === undefined ? overview() : details(name));
  return 0;
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    "Usage: patchbay [<command>] [<options>]",
    "",
    ...lines,
    "",
    "Settings come from the environment: `patchbay env` lists them.",
  ].join("\n");
}

function details(name: string): string {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new UsageError(`there is no command ${name}`);
  const head = `Usage: patchbay ${name} ${command.synopsis}`.trimEnd();
  return [head, command.summary, ...(command.details === undefined ? [] : ["", command.details])].join("\n");
}
