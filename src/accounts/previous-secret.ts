import type { SettingFault } from "../config/fault.ts";

/** Settings of a secret that is being replaced by a new one. */
export interface PreviousSecretSettings {
  readonly jwtSecretPrevious: string | undefined;
  readonly jwtSecretPreviousUntil: Date | undefined;
}

/** The replaced secret, for a verifier; undefined when there is none. */
export function previousSecret(settings: PreviousSecretSettings): { secret: string; until: Date } | undefined {
  const { jwtSecretPrevious: secret, jwtSecretPreviousUntil: until } = settings;
  return secret !== undefined && until !== undefined ? { secret, until } : undefined;
}

/** What is wrong with these settings; `prefix` is that of their variables, such as `CHAT`. */
export function previousSecretFaults(prefix: string, settings: PreviousSecretSettings): SettingFault[] {
  if ((settings.jwtSecretPrevious === undefined) === (settings.jwtSecretPreviousUntil === undefined)) return [];
  return [
    {
      setting: `${prefix}_JWT_SECRET_PREVIOUS`,
      fault: `and ${prefix}_JWT_SECRET_PREVIOUS_UNTIL only work together`,
      remedy: "set both or neither",
    },
  ];
}
