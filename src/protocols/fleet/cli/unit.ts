import type { CommandInput } from "../../protocol.ts";
import type { FleetSettings } from "../settings.ts";
import { AdminClient, NewUnit } from "./admin-client.ts";

/** `patchbay fleet unit <unique id>` */
export async function run(input: CommandInput<FleetSettings>): Promise<void> {
  const { values, words, print } = input;
  const unit = await new AdminClient(input).call(NewUnit, "POST", "/units", {
    unique_id: words[0],
    ...(values.plate === undefined ? {} : { plate: values.plate }),
    ...(values.vid === undefined ? {} : { vid: Number(values.vid) }),
    ...(values["no-key"] ? { key: null, pnd_key: null } : {}),
  });
  print(`uid      ${unit.uid}\nvid      ${unit.vid}`);
  if (unit.key !== null) print(`key      ${unit.key}\npnd key  ${unit.pnd_key}`);
}
