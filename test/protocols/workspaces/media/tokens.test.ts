import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { JanusClient } from "./client.ts";
import { Stage } from "./stage.ts";

describe.skipIf(!janusAvailable)("media tokens", () => {
  let janus: TestJanus;
  let stage: Stage;

  beforeAll(async () => {
    janus = await startJanus();
    stage = await Stage.open([janus]);
  });

  afterAll(async () => {
    await stage.close();
    await janus.close();
  });

  test("W-10.28 the options let a client open the server and join audio and video", async () => {
    const { userId, grant } = await stage.enter(await stage.channel());
    const client = await JanusClient.open(grant.options);
    expect(await client.join("audiobridge", grant.options, userId)).toBe("joined");
    expect(await client.join("videoroom", grant.options, userId)).toBe("joined");
    await client.close();
  });
});
