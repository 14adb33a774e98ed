import { afterAll, describe, expect, test } from "bun:test";
import { SettingsInvalid } from "../../../src/config/fault.ts";
import { loadSettings } from "../../../src/config/load.ts";
import { variable } from "../../../src/config/setting.ts";
import { fleet } from "../../../src/protocols/fleet/protocol.ts";
import { ADMIN_TOKEN, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

/** Names of the settings that stop a start with this environment. */
function faults(env: Record<string, string>): string[] {
  try {
    loadSettings([fleet], { FLEET_ADMIN_TOKEN: ADMIN_TOKEN, ...env });
    return [];
  } catch (error) {
    if (error instanceof SettingsInvalid) return error.faults.map((fault) => fault.setting);
    throw error;
  }
}

describe("section 9", () => {
  test("F-9.1 to F-9.13 every setting of the table has its default", () => {
    const defaults = Object.fromEntries(
      Object.entries(fleet.settings.settings).map(([key, setting]) => [
        variable("FLEET", key).slice("FLEET_".length),
        setting.fallback,
      ]),
    );
    expect(defaults).toEqual({
      // F-9.1
      ...{ ROOT: "on", INGRESS: "device,osmand,traccar", ORIGINS: "*", REST_PREFIXES: "/ws", OSMAND_PORT: "0" },
      // F-9.2, F-9.3
      ...{ ADMIN_TOKEN: null, TRACCAR_SECRET: null, JWT_SECRET: null, JWKS_URL: null, JWT_USER_CLAIM: "sub" },
      // F-9.4, F-9.5
      ...{ SESSION_TTL_S: "86400", AUTH_TIMEOUT_S: "10", AUTH_FAILURES_PER_MINUTE: "20" },
      ...{ REST_PER_SECOND: "10", COMMANDS_PER_SECOND: "10", BAD_FRAMES_PER_MINUTE: "30" },
      // F-9.6
      ...{ MAX_FRAME_BYTES: "65536", DEVICE_MAX_FRAME_BYTES: "262144", MAX_OUTGOING_BYTES: "1048576" },
      MAX_BODY_BYTES: "1048576",
      // F-9.7, F-9.8
      ...{ MAX_SOCKETS_PER_USER: "50", PING_S: "30", LEASE_S: "15", LINK_GRACE_S: "0" },
      ...{ MAX_ROWS: "50000", MAX_RANGE_DAYS: "31", HISTORY_DAYS: "90", MESSAGE_DAYS: "90" },
      // F-9.9
      ...{ COMMANDS: "getio", COMMAND_TIMEOUT_S: "15", COMMAND_QUEUE_TTL_S: "0", MESSAGE_TTL_S: "604800" },
      // F-9.10
      EVENT_IDS:
        '{"io":3846,"msg":3951,"msg-prd":25106,"form":33,"card-in":45,"card-out":46,' +
        '"battery":9001,"power":9002,"motion":9003,"motion-no-driver":9004}',
      // F-9.11
      ...{ EVENT_SOURCE: "tlk-server", IO_IGNITION: "1", IO_OUTPUT_BASE: "100", IO_ANALOG_BASE: "200" },
      // F-9.12, F-9.13
      ...{ BATCH_MS: "5", COALESCE_MS: "0", MAX_FUTURE_S: "600", AUTO_REGISTER: "off" },
      ...{ TRACCAR_URL: null, TRACCAR_TOKEN: null, TRACCAR_QUEUE: "off" },
    });
  });

  test("what cannot work is said at the start", () => {
    expect(faults({})).toEqual([]);
    const wrong = {
      FLEET_INGRESS: "device,mqtt",
      FLEET_LEASE_S: "4",
      FLEET_EVENT_IDS: '{"speeding":1}',
      FLEET_MAX_OUTGOING_BYTES: "1000",
      FLEET_OSMAND_PORT: "70000",
      FLEET_TRACCAR_URL: "traccar",
      FLEET_PING_S: "0",
    };
    for (const [name, value] of Object.entries(wrong)) expect(faults({ [name]: value })).toEqual([name]);
  });

  test("F-5.24 F-9.10 F-9.11 ids and numbers of inputs, outputs, analogs and events, and where events come from", async () => {
    await using stage = await stages.start({
      env: {
        ...{ FLEET_EVENT_IDS: '{"io":1,"motion":2}', FLEET_EVENT_SOURCE: "here", FLEET_IO_IGNITION: "9" },
        ...{ FLEET_IO_OUTPUT_BASE: "1000", FLEET_IO_ANALOG_BASE: "2000" },
      },
    });
    const unit = await stage.unit({ key: null });
    const user = await stage.user(unit);
    const client = await stage.watcher(user);
    const report = (seconds: number, more: Record<string, string>) => {
      const timestamp = String(stage.clock.now() - 60_000 + seconds * 1000);
      return stage.osmand({ id: unit.unique_id, lat: "1", lon: "2", timestamp, ...more });
    };
    await report(1, { ignition: "true", in2: "0", out1: "0" });
    await report(2, { ignition: "false", in2: "0", out1: "1", alarm: "movement" });
    const events = (await client.rest()).filter(({ params }) => params.type === "event");
    const shown = events.map(({ params }) => {
      const { record, event } = params as unknown as {
        record: { exd: { tlm?: object } };
        event: Record<string, unknown>;
      };
      return [event.eid, event.src, event.sts, record.exd.tlm ?? null];
    });
    expect(shown).toEqual([
      [1, "here", 1, { tio: 9, tlv: 0 }],
      [1, "here", 1, { tio: 1001, tlv: 1 }],
      [2, "here", 1, null],
    ]);
    const tracker = await stage.device({ ...unit, key: undefined as never });
    client.send({ type: "api", query: { id: "a", uid: unit.uid, cmd: "getio" } });
    const { id } = await tracker.next<{ id: string }>();
    tracker.send({ t: "cmd-result", id, ok: true, text: "DI:1 DO2:1 AI3:7 AIN4:-1.5" });
    const { cmd } = (await client.ofType("cmd-parsed")).params;
    expect(Object.keys(cmd as object)).toEqual(["1", "1002", "2003", "2004"]);
  });
});
