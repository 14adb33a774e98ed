import {
  addresses,
  choice,
  endpoints,
  integer,
  list,
  seconds,
  secret,
  section,
  sharedSecret,
  text,
  type Values,
} from "./setting.ts";

/** Settings of the gateway itself; every protocol adds a section of its own. */
export const gatewaySection = section("", {
  host: text("0.0.0.0", "Address the public port listens on."),
  port: integer(8080, "Public port of every protocol. 0 takes a free one.", { max: 65535 }),
  internalHost: text("127.0.0.1", "Address of the internal port. Keep it off the internet."),
  internalPort: integer(8081, "Internal port: health, metrics, administration. 0 takes a free one.", { max: 65535 }),
  databaseUrl: secret(
    "Postgres, as postgres://user:password@host:5432/name; with ?prepare=false behind a pooler that cannot keep prepared statements. Without it an embedded database in DATA_DIR serves.",
  ),
  dataDir: text("./data", "Folder of the embedded database and of generated secrets."),
  redisUrl: secret(
    "Redis, which lets several nodes act as one: redis://, rediss:// (TLS), redis+sentinel://host:port,host:port/master-name or redis+cluster://host:port,host:port; user and password as in any URL. Without it one node keeps everything in memory.",
  ),
  kafkaBrokers: endpoints(
    "",
    "Comma list of Kafka brokers (host:port), for the domain events of protocols that have some.",
  ),
  keyPrefix: text("patchbay:", "Put in front of every Redis key and stream."),
  protocols: list("", "Comma list of the protocols to serve; empty serves all of them."),
  trustedProxies: addresses("", "Comma list of addresses or CIDR blocks whose X-Forwarded-For is believed."),
  jwtSecret: sharedSecret("HS256 secret of every protocol that has none of its own."),
  logLevel: choice(["fatal", "error", "warn", "info", "debug", "trace"], "info", "Least severe level that is logged."),
  logFormat: choice(["auto", "json", "pretty"], "auto", "auto is pretty on a terminal and JSON elsewhere."),
  maxConnections: integer(
    50_000,
    "Sockets on this node; more are turned away. Lowered to what the file limit of the process allows.",
    { min: 1 },
  ),
  maxConnectionsPerAddress: integer(5_000, "Sockets of one address on this node; 0 sets no limit."),
  maxConnectionsPerUser: integer(
    0,
    "Sockets of one user over all nodes and per protocol, beside each protocol's own limit; 0 sets no limit.",
  ),
  acceptRate: integer(2_000, "New sockets a second on this node; 0 sets no limit."),
  drainTime: seconds(10, "Seconds from SIGTERM until the process ends at the latest.", { min: 1, max: 600 }),
});

export type GatewaySettings = Values<typeof gatewaySection>;
