import type { MediaFlags, StoredMediaState } from "./messages.ts";
import { flagsOf } from "./views.ts";

/** What follows a state when a client sends another one: the server keeps the start times (W-8.8). */
export function nextState(before: StoredMediaState | null, given: MediaFlags, now: string): StoredMediaState {
  const flags = { ...flagsOf(given), speaking: given.speaking && given.microphone };
  const starts = {
    startScreenTs: before?.screen ? before.startScreenTs : now,
    startCameraTs: before?.camera ? before.startCameraTs : now,
    startSpeakingTs: before?.speaking ? before.startSpeakingTs : now,
  };
  return {
    ...flags,
    ...(flags.screen && starts.startScreenTs && { startScreenTs: starts.startScreenTs }),
    ...(flags.camera && starts.startCameraTs && { startCameraTs: starts.startCameraTs }),
    ...(flags.speaking && starts.startSpeakingTs && { startSpeakingTs: starts.startSpeakingTs }),
  };
}
