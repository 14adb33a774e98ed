import * as v from "valibot";
import type { CommandInput } from "../../protocol.ts";
import { newSecret } from "../secrets.ts";
import type { FleetSettings } from "../settings.ts";
import { AdminClient, KnownUser } from "./admin-client.ts";

/** `patchbay fleet user <login>` */
export async function run(input: CommandInput<FleetSettings>): Promise<void> {
  const { values, words, print } = input;
  const admin = new AdminClient(input);
  const password = values.password ?? newSecret();
  const { user_id } = await admin.call(KnownUser, "POST", "/users", { login: words[0], password });
  const uids = String(values.units ?? "")
    .split(",")
    .filter((uid) => uid !== "");
  if (uids.length > 0) {
    await admin.call(v.unknown(), "POST", `/users/${user_id}/units`, { units: uids.map((uid) => ({ uid })) });
  }
  print(`user_id   ${user_id}`);
  if (values.password === undefined) print(`password  ${password}`);
}
