import { commands, type Entry } from "./commands/commands.ts";
import { protocolCommands } from "./commands/protocol-commands.ts";
import { UsageError } from "./commands/usage.ts";
import { SettingsInvalid } from "./config/fault.ts";
import { nearest } from "./config/nearest.ts";
import { maskText } from "./observe/redact.ts";

/** Runs the command that the arguments name and returns the exit code: 0 done, 1 failed, 2 not understood. */
async function main(argv: readonly string[], env: typeof process.env): Promise<number> {
  const [word = "serve", ...rest] = argv;
  const first = aliases.get(word) ?? word;
  try {
    const { name, command, args } = await find(first, rest);
    const asksForHelp = args.includes("--help") || args.includes("-h");
    const chosen = asksForHelp ? commands.help! : command;
    return await (await chosen.load()).run(asksForHelp ? name.split(" ") : args, env);
  } catch (error) {
    console.error(maskText(explain(error)));
    return error instanceof UsageError ? 2 : 1;
  }
}

/** A command by its word, or one of a protocol by two: those are looked for only when no other has the name. */
async function find(
  word: string,
  rest: readonly string[],
): Promise<{ name: string; command: Entry; args: readonly string[] }> {
  const own = Object.hasOwn(commands, word) ? commands[word] : undefined;
  if (own) return { name: word, command: own, args: rest };
  const name = `${word} ${rest[0] ?? ""}`;
  const others = await protocolCommands();
  const command = Object.hasOwn(others, name) ? others[name] : undefined;
  if (!command) throw unknownCommand(word, Object.keys(others));
  return { name, command, args: rest.slice(1) };
}

const aliases = new Map([
  ["--help", "help"],
  ["-h", "help"],
  ["--version", "version"],
  ["-v", "version"],
]);

function unknownCommand(name: string, others: readonly string[]): UsageError {
  const own = others.filter((other) => other.startsWith(`${name} `));
  if (own.length > 0) return new UsageError(`say what: ${own.join(", ")}`);
  const meant = nearest(name, Object.keys(commands));
  return new UsageError(`there is no command ${name}${meant === null ? "" : `; did you mean ${meant}?`}`);
}

/** Errors of the program; the last two are a module's that a developer under `bun --hot` has just broken. */
const ownFaults = /^((Type|Reference|Range|Syntax)Error|AggregateError|BuildMessage|ResolveMessage)$/;

/** What a person at a shell is told: reasons in words, and a stack only where the program itself is at fault. */
function explain(error: unknown): string {
  if (error instanceof UsageError) return `patchbay: ${error.message}\nTry: patchbay help`;
  if (error instanceof SettingsInvalid) {
    const lines = error.faults.map(({ setting, fault, remedy }) => `  ${setting} ${fault}\n    ${remedy}`);
    return ["patchbay cannot start with these settings:", ...lines].join("\n");
  }
  if (!(error instanceof Error) || ownFaults.test(error.name)) return Bun.inspect(error);
  const reasons: string[] = [];
  for (let reason: unknown = error; reason instanceof Error && reasons.length < 5; reason = reason.cause) {
    if (!reasons.includes(reason.message)) reasons.push(reason.message);
  }
  return `patchbay: ${reasons.join(": ")}`;
}

// Not awaited, and no process.exit: under `bun --hot` this module runs again while the gateway of an earlier run goes on.
main(process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
});
