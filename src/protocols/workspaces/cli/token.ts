import * as v from "valibot";
import { systemClock } from "../../../clock.ts";
import type { CommandInput } from "../../protocol.ts";
import { links } from "../mail.ts";
import { OneTimeTokens } from "../one-time-tokens.ts";
import { People } from "../people.ts";
import type { WorkspacesSettings } from "../settings.ts";

const Kind = v.picklist(["verification", "reset"], "say which token: verification or reset");

/** `patchbay workspaces token <verification|reset> <e-mail address>` (W-2.16) */
export async function run({ words, settings, print, withStores }: CommandInput<WorkspacesSettings>): Promise<void> {
  const [word, address = ""] = words;
  const kind = v.parse(Kind, word);
  const { token, email } = await withStores(async ({ database, accounts }) => {
    const account = await accounts.byEmail(address);
    if (account === null) throw new Error(`there is no account ${address}`);
    const people = new People({ database, accounts, clock: systemClock });
    await people.introduce(account.id);
    const email = (kind === "verification" && (await people.emailToVerify(account.id))) || address;
    const tokens = new OneTimeTokens({ database, clock: systemClock });
    return { token: await tokens.issue(kind, account.id, email), email };
  });
  print(`address  ${email}`);
  print(`token    ${token}`);
  if (settings.publicUrl !== undefined) print(`link     ${links(settings.publicUrl)[kind](token)}`);
}
