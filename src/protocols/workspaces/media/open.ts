import { JanusMedia } from "./janus-media.ts";
import { type MediaParts, type MediaServers, withoutMedia } from "./media.ts";

/** The media servers that the settings name; without any everything but media works (W-10.3). */
export function openMedia(parts: MediaParts): MediaServers {
  return parts.settings.janusUrl.length === 0 ? withoutMedia : new JanusMedia(parts);
}
