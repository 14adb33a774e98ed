import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { echo, REVISIONS, type Revision, Station } from "./station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

const BYTES = [1, 2, 3, 4];
/** BYTES in base64 as the two revisions write it in text. */
const BASE64: Record<Revision, string> = { 3: "b4AQIDBA==", 4: "bAQIDBA==" };

async function station(): Promise<Station> {
  const opened = Station.open();
  echo(opened.engine);
  return opened;
}

for (const revision of REVISIONS) {
  describe(`revision ${revision}`, () => {
    test("text on polling, one packet and several, comes back in order", async () => {
      await using at = await station();
      const client = await at.polling(revision);
      expect(await (await client.send("4hello")).text()).toBe("ok");
      expect(await client.take()).toEqual(["4hello"]);
      await client.send("4one", "4two", "4", "4€ and 😀");
      expect(await client.take()).toEqual(["4one", "4two", "4", "4€ and 😀"]);
    });

    test("binary on polling travels as base64 for a client that asked for it", async () => {
      await using at = await station();
      const client = await at.polling(revision, "&b64=1");
      await client.send("4hello", BASE64[revision]);
      const response = await client.poll();
      expect(response.headers.get("content-type")).toBe("text/plain; charset=UTF-8");
      expect(await response.text()).toBe(revision === 3 ? "6:4hello10:b4AQIDBA==" : "4hello\x1ebAQIDBA==");
    });

    test("text and binary on a WebSocket, one packet a frame", async () => {
      await using at = await station();
      const client = await at.websocket(revision);
      const frame = Uint8Array.from(revision === 3 ? [4, ...BYTES] : BYTES);
      client.send("4hello", frame, "4", BASE64[revision]);
      expect(await client.take(4)).toEqual(["4hello", frame, "4", frame]);
    });

    test("an empty binary message is a message", async () => {
      await using at = await station();
      const client = await at.websocket(revision);
      const frame = Uint8Array.from(revision === 3 ? [4] : []);
      client.send(frame, "4after");
      expect(await client.take(2)).toEqual([frame, "4after"]);
    });

    test("binary on a WebSocket is text for a client that asked for base64", async () => {
      await using at = await station();
      const client = await at.websocket(revision, "&b64=1");
      client.send(BASE64[revision]);
      expect(await client.next()).toBe(BASE64[revision]);
    });

    test("messages can be written as ArrayBuffer, view and Buffer", async () => {
      await using at = Station.open();
      const { client, socket } = await at.pair(revision);
      const bytes = Uint8Array.from([9, ...BYTES, 9]);
      socket.send(bytes.slice(1, 5).buffer).send(bytes.subarray(1, 5)).send(Buffer.from(BYTES));
      const frame = Uint8Array.from(revision === 3 ? [4, ...BYTES] : BYTES);
      expect(await client.take(3)).toEqual([frame, frame, frame]);
    });

    test("noop and upgrade packets out of place mean nothing", async () => {
      await using at = await station();
      const client = await at.websocket(revision);
      client.send("6", "5", "4still here");
      expect(await client.next()).toBe("4still here");
    });
  });
}

describe("revision 3 payloads", () => {
  test("lengths count UTF-16 units", async () => {
    await using at = await station();
    const client = await at.polling(3);
    await client.post("2:4€3:4😀");
    expect(await (await client.poll()).text()).toBe("2:4€3:4😀");
  });

  test("binary form: kind, length a digit a byte, 255, packet; text in it counts bytes", async () => {
    await using at = await station();
    const client = await at.polling(3);
    const text = Buffer.from("4€😀 and more");
    const payload = Uint8Array.from([0, 1, 7, 255, ...text, 1, 5, 255, 4, ...BYTES]);
    expect(text.length).toBe(17);
    const response = await client.post(payload, { "content-type": "application/octet-stream" });
    expect(response.status).toBe(200);
    const answer = await client.poll();
    expect(answer.headers.get("content-type")).toBe("application/octet-stream");
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(payload);
  });

  test("a payload without binary stays text", async () => {
    await using at = await station();
    const client = await at.polling(3);
    await client.post(Uint8Array.from([0, 6, 255, ...Buffer.from("4hello")]), {
      "content-type": "application/octet-stream",
    });
    expect(await (await client.poll()).text()).toBe("6:4hello");
  });

  const malformed: Record<string, Uint8Array<ArrayBuffer> | string> = {
    "length missing": ":4hello",
    "length too long": "7:4hello",
    "length too short": "5:4hello",
    "length zero": "0:",
    "length not a number": "a:4",
    "length in another notation": "0x2:4a",
    "negative length": "-1:4",
    "no length at all": "4hello",
    "packet type unknown": "2:7a",
    "base64 of another type": "6:b1AQID",
    "not base64": "6:b4A!!D",
    empty: "",
    "binary, length beyond the end": Uint8Array.of(1, 6, 255, 4, 1),
    "binary, never a delimiter": Uint8Array.of(0, 1, 1, 1),
    "binary, length of eleven digits": Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255, 52),
    "binary, digit above nine": Uint8Array.of(0, 10, 255, 52),
    "binary, unknown kind": Uint8Array.of(2, 1, 255, 52),
    "binary, packet that is not a message": Uint8Array.of(1, 2, 255, 1, 1),
    "binary, text that is not UTF-8": Uint8Array.of(0, 2, 255, 52, 0xff),
  };
  for (const [name, body] of Object.entries(malformed)) {
    test(`malformed ends the session: ${name}`, async () => {
      await using at = await station();
      const client = await at.polling(3);
      const type: Record<string, string> =
        typeof body === "string" ? {} : { "content-type": "application/octet-stream" };
      expect((await client.post(body, type)).status).toBe(400);
      expect((await client.poll()).status).toBe(400);
    });
  }
});

describe("revision 4 payloads", () => {
  const malformed: Record<string, Uint8Array<ArrayBuffer> | string> = {
    "type unknown": "abc",
    empty: "",
    "empty packet between separators": "4a\x1e\x1e4b",
    "separator at the end": "4a\x1e",
    "not base64": "b!!!!",
    "not UTF-8": Uint8Array.of(0x34, 0xc3, 0x28),
  };
  for (const [name, body] of Object.entries(malformed)) {
    test(`malformed ends the session: ${name}`, async () => {
      await using at = await station();
      const client = await at.polling(4);
      expect((await client.post(body)).status).toBe(400);
      expect((await client.poll()).status).toBe(400);
    });
  }

  test("a binary body is refused, since this revision has none", async () => {
    await using at = await station();
    const client = await at.polling(4);
    const response = await client.post(Uint8Array.from(BYTES), { "content-type": "application/octet-stream" });
    expect(response.status).toBe(400);
  });

  test("of a malformed payload nothing is taken, not even what is well-formed", async () => {
    await using at = Station.open();
    const client = await at.polling(4);
    const taken: unknown[] = [];
    at.session(client.sid).on("data", (data) => taken.push(data));
    await client.post("4good\x1e9");
    expect(taken).toEqual([]);
  });
});
