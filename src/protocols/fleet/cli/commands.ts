import type { ProtocolCommand } from "../../protocol.ts";
import type { FleetSettings } from "../settings.ts";

const admin = { admin: { type: "string" } } as const;
const whereAdmin = "  --admin <url>   internal port of the gateway; where this machine's settings put it by default";

/** `patchbay fleet ...`. All of them talk to a gateway that runs. */
export const commands: Readonly<Record<string, ProtocolCommand<FleetSettings>>> = {
  unit: {
    synopsis: "<unique id> [--plate <plate>] [--vid <number>] [--no-key] [--admin <url>]",
    summary: "Make a unit and show its keys, this once.",
    details: ["  --no-key        whoever knows the unique id may report for it", whereAdmin].join("\n"),
    options: { plate: { type: "string" }, vid: { type: "string" }, "no-key": { type: "boolean" }, ...admin },
    words: { least: 1, most: 1 },
    load: () => import("./unit.ts"),
  },
  user: {
    synopsis: "<login> [--password <password>] [--units <uid>,<uid>] [--admin <url>]",
    summary: "Make a user who may see some units.",
    details: ["Without --password one is made and shown.", "", whereAdmin].join("\n"),
    options: { password: { type: "string" }, units: { type: "string" }, ...admin },
    words: { least: 1, most: 1 },
    load: () => import("./user.ts"),
  },
  simulate: {
    synopsis: "[--vehicles <n>] [--over link|osmand] [--every <s>] [--seconds <n>] [--url <url>] [--admin <url>]",
    summary: "Drive vehicles about town: positions, doors, deliveries, drivers who write, trackers that answer.",
    details: [
      "  --vehicles <n>      how many (10)",
      "  --over <way>        how records come: by the device link, or by URL as phones do with OsmAnd (link)",
      "  --every <s>         time between two records of a vehicle (1)",
      "  --seconds <n>       how long; without it until it is stopped",
      "  --url <url>         public port of the gateway; where this machine's settings put it by default",
      "  --admin <url>       internal port, in the same way",
      "",
      "Makes units sim-1, sim-2, .. and a user `simulation` who may see them, and shows how to look on.",
    ].join("\n"),
    options: {
      vehicles: { type: "string" },
      over: { type: "string" },
      every: { type: "string" },
      seconds: { type: "string" },
      url: { type: "string" },
      ...admin,
    },
    words: { least: 0, most: 0 },
    load: () => import("./simulate.ts"),
  },
};
