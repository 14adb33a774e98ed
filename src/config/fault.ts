/** What is wrong with one setting, and what to do about it. Never holds the value of a secret. */
export interface SettingFault {
  /** Name of the environment variable. */
  readonly setting: string;
  /** Goes on from the name: `is not set`. */
  readonly fault: string;
  /** What to do, as in `set it to ...`. */
  readonly remedy: string;
}

/** The environment does not describe a gateway that can start. Carries every fault, not only the first. */
export class SettingsInvalid extends Error {
  override readonly name = "SettingsInvalid";
  readonly faults: readonly SettingFault[];

  constructor(faults: readonly SettingFault[]) {
    super(faults.map(({ setting, fault, remedy }) => `${setting} ${fault}; ${remedy}`).join("\n"));
    this.faults = faults;
  }
}
