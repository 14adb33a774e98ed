import type { ProtocolCommand } from "../../protocol.ts";
import type { WorkspacesSettings } from "../settings.ts";

/** `patchbay workspaces ...` */
export const commands: Readonly<Record<string, ProtocolCommand<WorkspacesSettings>>> = {
  token: {
    synopsis: "<verification|reset> <e-mail address>",
    summary: "Make the token that a letter would bring, for somebody whom no letter reaches.",
    details: [
      "  verification   good for a day, confirms the address: a new one that waits for it, else that of the account",
      "  reset          good for an hour, sets a new password",
      "",
      "The address names the account. Whoever is shown the token can log in by it, once.",
    ].join("\n"),
    options: {},
    words: { least: 2, most: 2 },
    load: () => import("./token.ts"),
  },
};
