import { expect, test } from "bun:test";
import { variable } from "../../../src/config/setting.ts";
import { conversations } from "../../../src/protocols/conversations/protocol.ts";
import { type ConversationsSettings, checkSettings } from "../../../src/protocols/conversations/settings.ts";

test("V-9.1 to V-9.14 every setting of the table has its default", () => {
  const defaults = Object.fromEntries(
    Object.entries(conversations.settings.settings).map(([key, setting]) => [
      variable("CONVERSATIONS", key).slice("CONVERSATIONS_".length),
      setting.fallback,
    ]),
  );
  expect(defaults).toEqual({
    ENABLED: "on",
    AUTH: "jwt",
    TRUSTED_PROXIES: "",
    JWT_SECRET: null,
    JWT_SECRET_PREVIOUS: null,
    JWT_SECRET_PREVIOUS_UNTIL: null,
    JWKS_URL: null,
    JWT_ISSUER: null,
    JWT_AUDIENCE: null,
    JWT_USER_CLAIM: "sub",
    JWT_ROLE_CLAIM: "role",
    ORIGINS: "*",
    TRANSPORTS: "websocket",
    SERVE_CLIENT: "on",
    CONNECT_TIMEOUT_S: "10",
    REFUSED_LINGER_S: "300",
    MAX_SOCKETS_PER_USER: "20",
    MAX_FRAME_BYTES: "65536",
    MAX_BODY_BYTES: "65536",
    MAX_OUTGOING_BYTES: "1048576",
    MAX_CONTENT_CHARS: "5000",
    DEDUPE_WINDOW_S: "300",
    EVENTS_PER_SECOND: "20",
    EVENTS_BURST: "100",
    MESSAGES_PER_MINUTE: "120",
    REST_PER_MINUTE: "600",
    BAD_EVENTS_PER_MINUTE: "60",
    PRESENCE_LEASE_S: "15",
    PRESENCE_GRACE_MS: "0",
    RESEND_PRESENCE: "off",
    USER_LOOKUP_URL: null,
    SHOP_LOOKUP_URL: null,
    UPLOAD_DIR: null,
    UPLOAD_MAX_BYTES: "5242880",
    UPLOAD_PUBLIC_URL: null,
    S3_BUCKET: null,
    S3_ENDPOINT: null,
    S3_REGION: null,
    S3_ACCESS_KEY_ID: null,
    S3_SECRET_ACCESS_KEY: null,
    S3_PUBLIC_URL: null,
    KAFKA_TOPIC: "chozoi.conversations.events",
    AUCTION_TOPIC: "chozoi.socket.auction.result",
    KAFKA_GROUP: "patchbay-conversations",
    OUTBOX_RETENTION_DAYS: "7",
  });
});

test("settings that do not fit together are told", () => {
  const good: Partial<ConversationsSettings> = { auth: "jwt", trustedProxies: [], transports: ["websocket"] };
  const faults = (change: Partial<ConversationsSettings>) =>
    checkSettings({ ...good, ...change } as ConversationsSettings).map(({ setting }) => setting);
  expect(faults({})).toEqual([]);
  expect(faults({ jwtSecretPrevious: "x" })).toEqual(["CONVERSATIONS_JWT_SECRET_PREVIOUS"]);
  expect(faults({ auth: "trusted-gateway" })).toEqual(["CONVERSATIONS_TRUSTED_PROXIES"]);
  expect(faults({ transports: ["carrier-pigeon"] })).toEqual(["CONVERSATIONS_TRANSPORTS"]);
  expect(faults({ userLookupUrl: "http://x/users" })).toEqual(["CONVERSATIONS_USER_LOOKUP_URL"]);
  expect(faults({ shopLookupUrl: "{id}" })).toEqual(["CONVERSATIONS_SHOP_LOOKUP_URL"]);
});
