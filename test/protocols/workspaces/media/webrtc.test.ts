import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { janusAvailable, startJanus, type TestJanus } from "../../../support/janus.ts";
import { HANGS } from "../stage.ts";
import { Participant } from "./peer.ts";
import { Stage } from "./stage.ts";

setDefaultTimeout(HANGS);

describe.skipIf(!janusAvailable)("media itself", () => {
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

  /** Somebody new in a conversation, with a client of the media server. */
  async function participant(channelId: string): Promise<Participant> {
    const { grant, userId } = await stage.enter(channelId);
    return Participant.open(grant.options, userId);
  }

  test("W-10.10 W-10.28 the text room takes the listed token over a data channel, and nobody without it", async () => {
    const somebody = await participant(await stage.channel());
    const stranger = await participant(await stage.channel());
    const channel = await somebody.openText();
    const refusal = "Unauthorized (not in the allowed list)";
    for (const token of [null, "0".repeat(50), somebody.options.janusAuthToken, stranger.options.channelAuthToken]) {
      expect(await channel.join(token)).toBe(refusal);
    }
    expect(await channel.join(somebody.options.channelAuthToken)).toBe("success");
    await somebody.close();
    await stranger.close();
  });

  test("W-10.28 what one shows in the video room, another one sees", async () => {
    const channelId = await stage.channel();
    const [speaker, listener] = [await participant(channelId), await participant(channelId)];
    const seen = await listener.watch(await speaker.publish());
    expect([...seen.subarray(0, 1), ...seen.subarray(4)]).toEqual([0x10, 0x9d, 1, 0x2a]);
    await listener.close();
    await speaker.close();
  });
});
