import * as v from "valibot";
import type { CommandInput } from "../../protocol.ts";
import { newSecret } from "../secrets.ts";
import type { FleetSettings } from "../settings.ts";
import { AdminClient, AdminRefused, KnownUnit, KnownUser } from "./admin-client.ts";

/** `patchbay fleet user <login>` */
export async function run(input: CommandInput<FleetSettings>): Promise<void> {
  const { values, words, print } = input;
  const admin = new AdminClient(input);
  const password = values.password ?? newSecret();
  const units = String(values.units ?? "")
    .split(",")
    .filter((uid) => uid !== "")
    .map((uid) => ({ uid }));
  // Looked for first: a user who was made must not be in the way of the next try.
  for (const { uid } of units) await known(admin, uid);
  const { user_id } = await admin.call(KnownUser, "POST", "/users", { login: words[0], password });
  if (units.length > 0) await admin.call(v.unknown(), "POST", `/users/${user_id}/units`, { units });
  print(`user_id   ${user_id}`);
  if (values.password === undefined) print(`password  ${password}`);
}

/** Throws when there is no unit of that uid. */
async function known(admin: AdminClient, uid: string): Promise<void> {
  try {
    await admin.call(KnownUnit, "GET", `/units/${encodeURIComponent(uid)}`);
  } catch (error) {
    if (!(error instanceof AdminRefused) || error.status !== 404) throw error;
    throw new Error(`there is no unit ${uid}: --units takes the uids that \`fleet unit\` shows`);
  }
}
