import { previousSecretFaults } from "../../accounts/previous-secret.ts";
import { NODE_LEASE } from "../../backplane/backplane.ts";
import type { Values } from "../../config/setting.ts";
import {
  addresses,
  choice,
  days,
  flag,
  inheriting,
  instant,
  integer,
  keptSecret,
  list,
  milliseconds,
  origins,
  seconds,
  secret,
  section,
  text,
  url,
} from "../../config/setting.ts";

/** Section 9 of the contract. */
export const conversationsSection = section("CONVERSATIONS", {
  enabled: flag(true, "Serve the conversations."),
  auth: choice(["jwt", "trusted-gateway"], "jwt", "Where identity comes from: tokens, or headers of a proxy in front."),
  trustedProxies: addresses("", "Comma list of addresses or CIDR blocks whose X-Chozoi-User-* headers are believed."),
  jwtSecret: inheriting(keptSecret("HS256 secret of access tokens."), "JWT_SECRET"),
  jwtSecretPrevious: secret("An older CONVERSATIONS_JWT_SECRET that is still believed."),
  jwtSecretPreviousUntil: instant("When CONVERSATIONS_JWT_SECRET_PREVIOUS ends."),
  jwksUrl: url("Published keys of another issuer (JWKS)."),
  jwtIssuer: text(null, "Required `iss` of tokens."),
  jwtAudience: text(null, "Required `aud` of tokens."),
  jwtUserClaim: text("sub", "Claim that names the user."),
  jwtRoleClaim: text("role", "Claim that limits a user to BUYER or SELLER."),
  origins: origins("*", "Comma list of allowed origins of browsers, or * for all."),
  transports: list("websocket", "Comma list of Engine.IO transports: websocket, polling."),
  serveClient: flag(true, "Serve a Socket.IO 4 browser bundle beside the endpoint."),
  connectTimeoutS: seconds(10, "Seconds a connection may stay without joining a namespace.", { min: 1 }),
  refusedLingerS: seconds(300, "Seconds a refused connection may stay.", { min: 1 }),
  maxSocketsPerUser: integer(20, "Sockets a user may have over all nodes.", { min: 1 }),
  maxFrameBytes: integer(65_536, "Largest frame of a client in bytes.", { min: 1024, max: 16_777_216 }),
  maxBodyBytes: integer(65_536, "Largest JSON body of a request in bytes.", { min: 1024, max: 16_777_216 }),
  maxOutgoingBytes: integer(1_048_576, "Bytes that may wait for a slow reader.", { min: 65_536, max: 8_388_608 }),
  maxContentChars: integer(5000, "Characters of a text message.", { min: 1 }),
  dedupeWindowS: seconds(300, "Seconds in which a repeated client_message_id is the same message."),
  eventsPerSecond: integer(20, "Events a second a socket may send.", { min: 1 }),
  eventsBurst: integer(100, "Events a socket may send at once.", { min: 1 }),
  messagesPerMinute: integer(120, "Messages a minute a user may send.", { min: 1 }),
  restPerMinute: integer(600, "Requests a minute of a user.", { min: 1 }),
  badEventsPerMinute: integer(60, "Refused events a minute after which a socket is put out.", { min: 1 }),
  presenceLeaseS: seconds(15, "Seconds the people of a node that fell silent count as online.", {
    min: NODE_LEASE / 1000,
    max: 3600,
  }),
  presenceGraceMs: milliseconds(0, "Milliseconds after the last socket of a user until he counts as gone."),
  resendPresence: flag(false, "Send active_user_list after each GET /rooms."),
  userLookupUrl: text(null, "URL with {id} that answers with the JSON profile (name) of a user."),
  shopLookupUrl: text(null, "URL with {id} that answers with the JSON object of a shop."),
  uploadDir: text(null, "Folder of uploaded images; `uploads` in DATA_DIR when not set."),
  uploadMaxBytes: integer(5_242_880, "Largest uploaded image in bytes.", { min: 1, max: 15_728_640 }),
  uploadPublicUrl: url("Origin in the addresses of uploaded images; that of the request when not set."),
  s3Bucket: text(null, "Bucket for uploaded images instead of the folder."),
  s3Endpoint: url("Endpoint of the bucket's S3 service."),
  s3Region: text(null, "Region of the bucket."),
  s3AccessKeyId: secret("Access key of the bucket."),
  s3SecretAccessKey: secret("Secret key of the bucket."),
  s3PublicUrl: url("Where the bucket's images are served; its endpoint and name when not set."),
  kafkaTopic: text("chozoi.conversations.events", "Kafka topic of domain events."),
  auctionTopic: text("chozoi.socket.auction.result", "Kafka topic of auction results."),
  kafkaGroup: text("patchbay-conversations", "Kafka consumer group for auction results."),
  outboxRetentionDays: days(7, "Days that domain events are kept in the database.", { min: 0.01 }),
});

export type ConversationsSettings = Values<typeof conversationsSection>;

/** Faults that only show across several settings. */
export function checkSettings(settings: ConversationsSettings) {
  const faults = previousSecretFaults("CONVERSATIONS", settings);
  if (settings.auth === "trusted-gateway" && settings.trustedProxies.length === 0) {
    faults.push({
      setting: "CONVERSATIONS_TRUSTED_PROXIES",
      fault: "is empty, so with CONVERSATIONS_AUTH=trusted-gateway nobody could connect",
      remedy: "name the addresses of the proxy, or use CONVERSATIONS_AUTH=jwt",
    });
  }
  const unknown = settings.transports.filter((name) => name !== "websocket" && name !== "polling");
  if (unknown.length > 0 || settings.transports.length === 0) {
    faults.push({
      setting: "CONVERSATIONS_TRANSPORTS",
      fault: unknown.length > 0 ? `has the unknown ${unknown.join(", ")}` : "is empty",
      remedy: "expected websocket, or websocket,polling",
    });
  }
  for (const [setting, value] of [
    ["CONVERSATIONS_USER_LOOKUP_URL", settings.userLookupUrl],
    ["CONVERSATIONS_SHOP_LOOKUP_URL", settings.shopLookupUrl],
  ] as const) {
    if (value === undefined || (value.includes("{id}") && URL.canParse(value.replace("{id}", "1")))) continue;
    faults.push({ setting, fault: "is no URL with {id} in it", remedy: "expected https://host/path/{id}" });
  }
  return faults;
}
