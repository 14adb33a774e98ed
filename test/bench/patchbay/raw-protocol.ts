import { section } from "../../../src/config/setting.ts";
import { defineProtocol } from "../../../src/protocols/protocol.ts";
import { type RawTopics, rawsocket } from "../../../src/rawsocket/endpoint.ts";

/** The room of a channel; null until it has joined one. */
interface Member {
  room: string | null;
}

const close = (code: number, reason: string) => ({ code, reason });

/**
 * The smallest protocol on the raw channel: what comes from a member of a room goes to all of its members as it is. It
 * answers the opening and joining frames of Socket.IO just enough for the same client to talk to it.
 */
export const rawProtocol = defineProtocol({
  name: "bench",
  settings: section("BENCH", {}),
  build() {
    let topics: RawTopics<Member> | null = null;
    const endpoint = rawsocket<Member>({
      name: "relay",
      paths: ["/bench"],
      mounted: (mounted) => {
        topics = mounted;
      },
      opened(channel) {
        channel.session = { room: null };
        channel.send('0{"pingInterval":25000,"pingTimeout":20000}');
      },
      received(channel, frame) {
        if (typeof frame !== "string") return;
        const { session } = channel;
        if (frame.startsWith('42["move"') && session.room !== null) {
          topics?.publish(session.room, frame);
        } else if (frame === "40") {
          channel.send('40{"sid":"0"}');
        } else if (frame.startsWith("420")) {
          session.room = frame;
          channel.subscribe(frame);
          channel.send("430[]");
        }
      },
      limits: {
        maxFrameBytes: 65_536,
        maxOutboxBytes: 1_048_576,
        maxInbox: 64,
        pingInterval: 25_000,
        pongTimeout: 45_000,
      },
      closes: {
        slowReader: close(1008, "slow reader"),
        noPong: close(1001, "no pong"),
        drain: close(1012, "drain"),
        full: close(1013, "full"),
      },
    });
    return { sockets: [endpoint] };
  },
});
