import { loadGateway } from "../config/load.ts";
import type { Environment } from "../config/read.ts";
import { askPassword } from "./password.ts";
import { withStores } from "./stores.ts";
import { parseArguments, UsageError } from "./usage.ts";

/** `patchbay user add <username> [--email <address>] [--name <name>] [--password <password>]` */
export async function run(args: readonly string[], env: Environment): Promise<number> {
  const { values, positionals } = parseArguments(
    args,
    { email: { type: "string" }, name: { type: "string" }, password: { type: "string" } },
    { least: 2 },
  );
  const [action, username = ""] = positionals;
  if (action !== "add") throw new UsageError(`there is no way to ${action} a user, only to add one`);
  if (username === "" || username.includes("@")) {
    throw new UsageError("a username is not empty and has no @; an address goes to --email");
  }
  const settings = loadGateway(env);
  const password = values.password ?? (await askPassword("Password: "));
  if (password === "") throw new UsageError("a password is not empty");
  const account = await withStores(settings, ({ accounts }) =>
    accounts.create({
      username,
      password,
      ...(values.email === undefined ? {} : { email: values.email }),
      ...(values.name === undefined ? {} : { name: values.name }),
    }),
  );
  console.log(`username  ${account.username}\nid        ${account.id}\nnumber    ${account.number}`);
  return 0;
}
