import { loadSettings } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import type { Protocol, ProtocolCommand } from "../protocols/protocol.ts";
import type { Entry } from "./commands.ts";
import { withStores } from "./stores.ts";
import { parseArguments } from "./usage.ts";

/** The commands that protocols bring along, as `<protocol> <name>`. Loads the protocols, so ask for it when needed. */
export async function protocolCommands(): Promise<Readonly<Record<string, Entry>>> {
  const { protocols } = await import("../protocols/index.ts");
  const entries = protocols.flatMap((protocol) =>
    Object.entries(protocol.commands ?? {}).map(([name, command]): [string, Entry] => [
      `${protocol.name} ${name}`,
      {
        synopsis: command.synopsis,
        summary: command.summary,
        ...(command.details === undefined ? {} : { details: command.details }),
        load: async () => ({ run: (args, env) => run(protocols, protocol, command, args, env) }),
      },
    ]),
  );
  return Object.fromEntries(entries);
}

/** Reads arguments and settings and runs the command. Throws `UsageError` and `SettingsInvalid`. */
async function run(
  protocols: readonly Protocol[],
  protocol: Protocol,
  command: ProtocolCommand,
  args: readonly string[],
  env: Environment,
): Promise<number> {
  const { values, positionals } = parseArguments(args, { ...command.options }, command.words);
  const loaded = loadSettings(protocols, env);
  const code = await command.load();
  await code.run({
    values: values as Readonly<Record<string, string | boolean | undefined>>,
    words: positionals,
    settings: loaded.of(protocol),
    gateway: loaded.gateway,
    withStores: (work) => withStores(loaded.gateway, work),
    print: (line) => console.log(line),
  });
  return 0;
}
