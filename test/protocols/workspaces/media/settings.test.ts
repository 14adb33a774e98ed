import { expect, test } from "bun:test";
import { readSection } from "../../../../src/config/read.ts";
import { withoutMedia } from "../../../../src/protocols/workspaces/media/media.ts";
import { checkSettings, workspacesSection } from "../../../../src/protocols/workspaces/settings.ts";
import { Stage, settingsOf } from "./stage.ts";

const complete = {
  WORKSPACES_JANUS_URL: "http://10.0.0.5:8088/janus,http://10.0.0.6:8088/janus",
  WORKSPACES_JANUS_ADMIN_URL: "http://10.0.0.5:7088/admin,http://10.0.0.6:7088/admin",
  WORKSPACES_JANUS_PUBLIC_URL: "https://one.example/janus,https://two.example/janus",
  WORKSPACES_JANUS_PUBLIC_WS_URL: "wss://one.example/ws,wss://two.example/ws",
  WORKSPACES_JANUS_ADMIN_SECRET: "an admin secret",
  WORKSPACES_JANUS_AUDIOBRIDGE_KEY: "a key",
  WORKSPACES_JANUS_VIDEOROOM_KEY: "a key",
  WORKSPACES_JANUS_TEXTROOM_KEY: "a key",
};

test("W-10.2 a setting that is missing beside the URLs is a fault that names it", () => {
  expect(checkSettings(settingsOf([], complete))).toEqual([]);
  for (const name of Object.keys(complete).slice(1)) {
    const faults = checkSettings(settingsOf([], { ...complete, [name]: "" }));
    expect(faults.map(({ setting }) => setting)).toEqual([name]);
  }
});

test("W-10.1 lists of different lengths are a fault", () => {
  const uneven = { ...complete, WORKSPACES_JANUS_ADMIN_URL: "http://10.0.0.5:7088/admin" };
  expect(checkSettings(settingsOf([], uneven)).map(({ setting }) => setting)).toEqual(["WORKSPACES_JANUS_ADMIN_URL"]);
});

test("W-10.1 what is no address of a server is a fault", () => {
  for (const [name, right] of Object.entries(complete).slice(0, 4)) {
    for (const wrong of ["janus", "ftp://one.example/janus"]) {
      const { faults } = readSection(workspacesSection, { ...complete, [name]: `${right},${wrong}` });
      expect(faults.map(({ setting }) => setting)).toEqual([name]);
    }
  }
});

test("W-10.3 without servers all six options are null and nothing is recorded", async () => {
  const stage = await Stage.open([]);
  try {
    const { grant } = await stage.enter(await stage.channel());
    expect(grant).toEqual({
      id: null,
      options: {
        janusServerUrl: null,
        janusWsServerUrl: null,
        janusAuthToken: null,
        channelAuthToken: null,
        audioRoomId: null,
        videoRoomId: null,
      },
    });
    expect(stage.node).toBe(withoutMedia);
    stage.node.leave(null);
    expect(await stage.grants()).toEqual([]);
  } finally {
    await stage.close();
  }
});
