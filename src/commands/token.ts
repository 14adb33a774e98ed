import type { Account } from "../accounts/accounts.ts";
import { signToken } from "../accounts/sign.ts";
import { isUuid } from "../accounts/uuid.ts";
import { type Loaded, loadSettings } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import { protocols } from "../protocols/index.ts";
import type { Protocol } from "../protocols/protocol.ts";
import { commandLog, withStores } from "./stores.ts";
import { parseArguments, UsageError } from "./usage.ts";

/** `patchbay token [<user>] [--protocol <name>] [--ttl 30m]` */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  const { values, positionals } = parseArguments(
    args,
    {
      protocol: { type: "string" },
      ttl: { type: "string", default: "30m" },
      id: { type: "string" },
      number: { type: "string" },
      username: { type: "string" },
    },
    { most: 1 },
  );
  const [user] = positionals;
  const ttl = secondsOf(values.ttl);
  const settings = loadSettings(protocols, env);
  const protocol = protocolOf(values.protocol, settings);
  const { token } = protocol;
  const secret = token?.secret(settings.of(protocol));
  if (token === undefined || secret === undefined) {
    throw new UsageError(`${protocol.name} has no secret to sign a token with: its tokens come from elsewhere`);
  }
  for (const warning of settings.warnings) commandLog().warn({}, warning);
  const account = user === undefined ? claimed(values) : await existing(user, settings);
  const exp = Math.floor(Date.now() / 1000) + ttl;
  console.log(await signToken({ ...token.claims(account), exp }, secret));
  return 0;
}

/** The protocol of that name, or the only one that has tokens to give. */
function protocolOf(name: string | undefined, settings: Loaded): Protocol {
  const candidates = protocols.filter((protocol) => settings.serves(protocol.name) && protocol.token !== undefined);
  const names = candidates.map((protocol) => protocol.name).join(", ");
  if (name === undefined) {
    if (candidates.length === 1) return candidates[0]!;
    throw new UsageError(`say for which protocol: --protocol with one of ${names}`);
  }
  const protocol = candidates.find((candidate) => candidate.name === name);
  if (protocol === undefined) throw new UsageError(`there are no tokens of ${name} to be made, only of ${names}`);
  return protocol;
}

async function existing(user: string, settings: Loaded): Promise<Account> {
  const account = await withStores(settings.gateway, ({ accounts }) => {
    if (isUuid(user)) return accounts.byId(user);
    if (/^\d+$/.test(user)) return accounts.byNumber(Number(user));
    return user.includes("@") ? accounts.byEmail(user) : accounts.byUsername(user);
  });
  if (account === null) throw new UsageError(`there is no account ${user}`);
  if (account.disabled) throw new UsageError(`the account ${user} is disabled`);
  return account;
}

/** Somebody no database was asked about. What a claim is made of must have been given; the rest does not matter. */
function claimed(given: { id?: string; number?: string; username?: string }): Account {
  const need = (option: "id" | "number" | "username") => {
    const value = given[option];
    if (value === undefined) throw new UsageError(`name a user, or say --${option}`);
    return value;
  };
  return {
    get id() {
      const id = need("id");
      if (!isUuid(id)) throw new UsageError(`--id ${id} is no UUID`);
      return id;
    },
    get number() {
      const number = need("number");
      if (!/^[1-9]\d{0,14}$/.test(number)) throw new UsageError(`--number ${number} is no number of an account`);
      return Number(number);
    },
    get username() {
      return need("username");
    },
    email: null,
    name: null,
    disabled: false,
    createdAt: new Date(),
  };
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90s`, `30m`, `12h`, `7d` or plain seconds, in seconds. */
function secondsOf(text: string): number {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text);
  if (match === null || Number(match[1]) === 0)
    throw new UsageError(`--ttl ${text} is no time; write 90s, 30m, 12h or 7d`);
  return Number(match[1]) * units[match[2] || "s"]!;
}
