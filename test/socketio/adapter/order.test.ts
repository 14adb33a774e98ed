import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { event, type Peer } from "../../../src/socketio/endpoint.ts";
import { Random } from "../../support/random.ts";
import { once, until } from "../events.ts";
import { declare, Station } from "../station.ts";

// The default of 5 s is short for a busy machine.
setDefaultTimeout(120_000);

let station: Station;
afterEach(() => station.stop());

/** Everything a server can send one socket, each way with a number that tells its place. */
const WAYS: readonly ((peer: Peer<unknown>, number: number) => void)[] = [
  (peer, number) => peer.emit("n", number),
  (peer, number) => void peer.socket.nsp.to("r").emit("n", number),
  (peer, number) => void peer.socket.nsp.emit("n", number),
  (peer, number) => void peer.socket.nsp.to(peer.id).emit("n", number),
  (peer, number) => void peer.socket.nsp.to("r").to("s").emit("n", number),
  (peer, number) => void peer.socket.nsp.to("r").except("nobody").emit("n", number),
  (peer, number) => void peer.socket.nsp.to("r").emit("n", number, Buffer.from("bytes")),
];

const admitted: Peer<unknown>[] = [];

function sender() {
  return declare({
    joined(peer) {
      admitted.push(peer);
      void peer.socket.join(["r", "s"]);
    },
    on: {
      // Sends a burst in the middle of which the acknowledgement has its place as well.
      burst: event(
        v.object({ from: v.number(), ways: v.array(v.number()) }),
        (peer, { from, ways }, acknowledge) => {
          for (const [index, way] of ways.entries()) {
            if (index === ways.length >> 1) acknowledge(from + index);
            else WAYS[way]?.(peer, from + index);
          }
        },
        () => {},
      ),
    },
  });
}

test.each(["v4", "v2"] as const)(
  "%s: emits, acknowledgements and broadcasts keep their order through an upgrade",
  async (generation) => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = new Random(seed);
    station = new Station({ "/": sender() });
    for (let round = 0; round < 20; round++) {
      const options = { transports: ["polling", "websocket"] };
      const client = generation === "v4" ? station.client("/", options) : station.clientV2("/", options);
      const heard: number[] = [];
      client.on("n", ((number: number) => heard.push(number)) as never);
      await once(client, "connect");
      let sent = 0;
      const engine = client.io.engine as { readonly transport: { readonly name: string } };
      // Goes on for a while after the upgrade.
      for (let after = 0; after < 5; after += engine.transport.name === "websocket" ? 1 : 0) {
        const ways = Array.from({ length: 3 + random.below(20) }, () => random.below(WAYS.length));
        client.emit("burst", { from: sent, ways }, (number: number) => heard.push(number));
        sent += ways.length;
        await Bun.sleep(random.below(3));
      }
      await until(() => heard.length >= sent);
      expect(heard, `seed ${seed}, round ${round}`).toEqual(Array.from({ length: sent }, (_, number) => number));
      client.close();
      await until(() => station.namespace().sockets.size === 0);
    }
  },
);

test("sends and publishes of the server's own time reach a websocket in the order of the calls", async () => {
  const random = new Random(7);
  station = new Station({ "/": sender() });
  const client = station.client("/", { transports: ["websocket"] });
  const heard: number[] = [];
  client.on("n", (number: number) => heard.push(number));
  await once(client, "connect");
  const peer = admitted.at(-1)!;
  for (let number = 0; number < 3_000; number++) {
    WAYS[random.below(WAYS.length)]?.(peer, number);
    if (random.chance(0.02)) await Bun.sleep(0);
  }
  await until(() => heard.length >= 3_000);
  expect(heard).toEqual(Array.from({ length: 3_000 }, (_, number) => number));
});

test("what was published before a member leaves or is put out still reaches it", async () => {
  station = new Station({ "/": declare() });
  const client = station.client("/", { transports: ["websocket"] });
  const heard: unknown[] = [];
  client.onAny((...args) => heard.push(args));
  await once(client, "connect");
  const [socket] = station.namespace().sockets.values();
  const namespace = station.namespace();
  void socket!.join("r");
  namespace.to("r").emit("one");
  void socket!.leave("r");
  namespace.to("r").emit("never");
  void socket!.join("r");
  namespace.to("r").emit("two");
  namespace.in("r").disconnectSockets(true);
  await once(client, "disconnect");
  expect(heard).toEqual([["one"], ["two"]]);
});
