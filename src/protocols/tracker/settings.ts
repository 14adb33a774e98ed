import { previousSecretFaults } from "../../accounts/previous-secret.ts";
import type { Values } from "../../config/setting.ts";
import {
  flag,
  instant,
  integer,
  origins,
  seconds,
  secret,
  section,
  signingSecret,
  text,
  url,
} from "../../config/setting.ts";

/** Section 9 of the contract. */
export const trackerSection = section("TRACKER", {
  enabled: flag(true, "Serve the tracker."),
  eio3: flag(true, "Serve Engine.IO revision 3 (Socket.IO clients of generation 2.x) beside revision 4."),
  accounts: flag(true, "Serve registration and login."),
  jwtSecret: signingSecret("HS256 secret of access tokens. Optional when TRACKER_JWKS_URL is set.", {
    inherits: "JWT_SECRET",
    unless: "TRACKER_JWKS_URL",
  }),
  refreshSecret: signingSecret("HS256 secret of refresh tokens; must differ from TRACKER_JWT_SECRET.", {
    unless: "TRACKER_ACCOUNTS=off",
  }),
  jwtSecretPrevious: secret("An older TRACKER_JWT_SECRET that is still believed."),
  jwtSecretPreviousUntil: instant("When TRACKER_JWT_SECRET_PREVIOUS ends."),
  jwksUrl: url("Published keys of another issuer (JWKS)."),
  jwksCooldown: seconds(30, "Least seconds between two fetches of the published keys.", { min: 1 }),
  jwtIssuer: text(null, "Required `iss` of access tokens."),
  jwtAudience: text(null, "Required `aud` of access tokens."),
  clockSkew: seconds(5, "Seconds by which the clocks of issuers may differ.", { max: 300 }),
  userCheck: flag(false, "Admit only tokens whose account exists here under that user_id and username."),
  cookieToken: flag(false, "REST also takes the token from the cookie access_token."),
  roomTtl: seconds(1800, "Seconds a PIN lives from its generation.", { min: 1 }),
  accessTtl: seconds(1800, "Seconds an access token lives.", { min: 1 }),
  refreshTtl: seconds(604_800, "Seconds a login can be refreshed.", { min: 1 }),
  tokenGrace: seconds(1800, "Seconds a live socket may outlive its token."),
  replayLast: flag(true, "Show a joiner the newest position of somebody else."),
  legacyRoomMessage: flag(false, "Send each room notice as plain text as well (`room_message`)."),
  resumeSeconds: seconds(
    120,
    "Seconds in which the next socket of an account takes over the rooms of a lost one; 0 = off.",
  ),
  pinRate: integer(1, "PINs a user may ask for in a second.", { min: 1 }),
  maxPinsPerUser: integer(120, "Living rooms a user may own.", { min: 1 }),
  joinFailsUser: integer(20, "Failed joins of one account in a window before it is throttled.", { min: 1 }),
  joinFailsIp: integer(200, "Failed joins of one address in a window before it is throttled.", { min: 1 }),
  joinWindow: seconds(600, "Seconds of the window in which failed joins are counted.", { min: 1 }),
  eventRate: integer(100, "Events a second a socket may send.", { min: 1 }),
  eventBurst: integer(1000, "Events a socket may send at once.", { min: 1 }),
  maxRoomsPerSocket: integer(50, "Rooms a socket may be in.", { min: 1 }),
  maxSocketsPerUser: integer(20, "Sockets a user may have over all nodes.", { min: 1 }),
  maxMessageBytes: integer(65_536, "Largest message of a client in bytes.", { min: 1024, max: 16_777_216 }),
  sendBufferBytes: integer(1_048_576, "Bytes that may wait for a slow reader.", { min: 65_536, max: 8_388_608 }),
  origins: origins("*", "Comma list of allowed origins of browsers, or * for all."),
  hideUsers: flag(false, "Login answers 401 instead of 404 for an unknown user."),
});

export type TrackerSettings = Values<typeof trackerSection>;

/** Faults that only show across several settings. */
export function checkSettings(settings: TrackerSettings) {
  const faults = previousSecretFaults("TRACKER", settings);
  if (settings.accounts && settings.refreshSecret === settings.jwtSecret) {
    faults.push({
      setting: "TRACKER_REFRESH_SECRET",
      fault: "is the same as TRACKER_JWT_SECRET, so refresh tokens would pass as access tokens",
      remedy: "give it a secret of its own, or set TRACKER_ACCOUNTS=off",
    });
  }
  return faults;
}
