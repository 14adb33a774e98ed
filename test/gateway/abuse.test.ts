import { expect, test } from "bun:test";
import { abuse } from "../support/abuse.ts";
import { startProcess } from "../support/process.ts";

/** Every door of the listener, with good messages to be broken. */
const doors = {
  paths: [
    "/",
    "/nowhere",
    "/track-sio/sio/?EIO=4&transport=websocket",
    "/track-sio/sio?EIO=3&transport=websocket",
    "/track-sio/sio/?EIO=4&transport=polling",
    "/track-sio/sio/?EIO=3&transport=polling",
    "/track/generate-pin",
    "/user",
    "/user/generate",
    "/login",
    "/login/form",
    "/login/v2/",
    "/login/v2/refresh",
  ],
  samples: [
    "40",
    '40{"token":"x"}',
    '42["join_room","929165"]',
    '42["move",{"lat":-37.81,"long":144.96,"roomId":"929165"}]',
    '421["leave_room",{"roomId":929165}]',
    '451-["move",{"_placeholder":true,"num":0}]',
    '{"username":"alice","password":"secret123"}',
  ],
};

test("10,000 random frames and requests leave the gateway serving, with no unhandled rejection", async () => {
  // A process of its own: an unhandled rejection would end it. Its limits are off so that all of it gets through.
  const gateway = await startProcess({ env: { ACCEPT_RATE: "0", MAX_CONNECTIONS_PER_ADDRESS: "0" } });
  try {
    const seed = Number(process.env.ABUSE_SEED ?? Math.floor(Math.random() * 2 ** 31));
    const summary = await abuse({ url: gateway.url, ...doors }, { seed, count: 10_000 });
    expect({ seed, faults: summary.faults }).toEqual({ seed, faults: [] });
    expect(gateway.child.exitCode).toBeNull();
    // Not ready is what it says as well when it was held up for longer than its database may take to answer.
    while ((await fetch(`${gateway.internalUrl}/readyz`)).status !== 200) await Bun.sleep(100);
    const complaints = gateway
      .output()
      .split("\n")
      .filter((line) => /"level":"(error|fatal)"/.test(line));
    expect(complaints).toEqual([]);
    gateway.child.kill("SIGTERM");
    expect(await gateway.child.exited).toBe(0);
  } finally {
    await gateway.cleanUp();
  }
}, 600_000);
