/** What tells the three plugins apart that hold the rooms of a channel (W-10.1). */
export interface Plugin {
  readonly name: string;
  /** `error_code` for a room that is not there (W-10.16). */
  readonly noSuchRoom: number;
  /** `error_code` for a room that is there already (W-10.16). */
  readonly exists: number;
  /** What a room of this plugin is made with besides (W-10.9). */
  readonly extras: Readonly<Record<string, unknown>>;
}

export const plugins = {
  audiobridge: {
    name: "janus.plugin.audiobridge",
    noSuchRoom: 485,
    exists: 486,
    extras: { sampling_rate: 48_000, audiolevel_event: true, audio_active_packets: 25, audio_level_average: 30 },
  },
  videoroom: {
    name: "janus.plugin.videoroom",
    noSuchRoom: 426,
    exists: 427,
    extras: { publishers: 32 },
  },
  textroom: {
    name: "janus.plugin.textroom",
    noSuchRoom: 417,
    exists: 418,
    extras: {},
  },
} as const satisfies Record<string, Plugin>;

export type PluginKey = keyof typeof plugins;

export const pluginKeys: readonly PluginKey[] = ["audiobridge", "videoroom", "textroom"];

/** What every token is limited to (W-10.5, W-10.11). */
export const pluginNames: readonly string[] = pluginKeys.map((key) => plugins[key].name);
