import type { Environment } from "../config/read.ts";

/** What a command's file exports. */
export interface Command {
  /** Returns the exit code. Throws `UsageError` for arguments it does not know. */
  run(args: readonly string[], env: Environment): Promise<number>;
}

/** A command as the help shows it; its code is loaded when it runs. */
export interface Entry {
  /** What stands after the name. */
  readonly synopsis: string;
  readonly summary: string;
  /** Further lines of `patchbay help <command>`. */
  readonly details?: string;
  load(): Promise<Command>;
}

export const commands: Readonly<Record<string, Entry>> = {
  serve: {
    synopsis: "",
    summary: "Run the gateway until SIGTERM. The default.",
    load: () => import("./serve.ts"),
  },
  check: {
    synopsis: "[--connect]",
    summary: "Validate the settings and list every fault with its remedy.",
    details: "  --connect   reach Postgres and Redis as well\n\nEnds with 1 when something is wrong. Changes nothing.",
    load: () => import("./check.ts"),
  },
  env: {
    synopsis: "[--markdown]",
    summary: "Show every setting: its value, its default and what it means.",
    details: [
      "  --markdown      as tables, without values",
      "",
      "The plain output is a valid env file, secrets aside.",
    ].join("\n"),
    load: () => import("./env.ts"),
  },
  migrate: {
    synopsis: "",
    summary: "Bring the database to the schema of this build. `serve` does it too.",
    load: () => import("./migrate.ts"),
  },
  user: {
    synopsis: "add <username> [--email <address>] [--name <name>] [--password <password>]",
    summary: "Make an account.",
    details: "Without --password it is asked for, or read as the first line of the input.",
    load: () => import("./user.ts"),
  },
  token: {
    synopsis: "[<user>] [--protocol <name>] [--ttl 30m]",
    summary: "Make an access token, for trying things out.",
    details: [
      "  <user>              username, e-mail address, id or number of an account",
      "  --protocol <name>   whose clients shall use it",
      "  --ttl <time>        how long it is good: 90s, 30m (the default), 12h, 7d",
      "",
      "Without <user> no database is asked, and the token says what you say:",
      "  --id <uuid>  --number <number>  --username <name>",
    ].join("\n"),
    load: () => import("./token.ts"),
  },
  version: {
    synopsis: "",
    summary: "Show the version, the commit it was built from and the Bun inside.",
    load: () => import("./version.ts"),
  },
  healthcheck: {
    synopsis: "",
    summary: "Ask the gateway on this machine whether it is ready; ends with 1 when it is not.",
    load: () => import("./healthcheck.ts"),
  },
  help: {
    synopsis: "[<command>]",
    summary: "Show this.",
    load: () => import("./help.ts"),
  },
};
