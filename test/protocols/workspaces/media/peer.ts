import { MediaStreamTrack, type RTCDataChannel, RTCPeerConnection, RtpHeader, RtpPacket } from "werift";
import type { ConnectionOptions } from "../../../../src/protocols/workspaces/media/media.ts";
import { JanusClient, type JanusEvent } from "./client.ts";

/** Milliseconds between two frames of a picture. */
const FRAME = 20;
/** The first bytes of a key frame in VP8. */
const KEY_FRAME = [0x10, 0, 0, 0, 0x9d, 1, 0x2a];

/** Somebody with media: real peer connections to Janus, over loopback. */
export class Participant {
  readonly options: ConnectionOptions;
  readonly name: string;
  readonly #client: JanusClient;
  readonly #stops: (() => unknown)[] = [];

  private constructor(client: JanusClient, options: ConnectionOptions, name: string) {
    this.#client = client;
    this.options = options;
    this.name = name;
  }

  static async open(options: ConnectionOptions, name: string): Promise<Participant> {
    return new Participant(await JanusClient.open(options), options, name);
  }

  /** Opens the data channel of the text room. */
  async openText(): Promise<TextChannel> {
    const handle = await this.#client.attach("textroom");
    await this.#client.message(handle, { request: "setup" });
    const offer = await this.#described(handle);
    const peer = this.#peer();
    await peer.setRemoteDescription(offer);
    const channel = peer.createDataChannel("JanusDataChannel");
    await this.#client.message(handle, { request: "ack" }, await answerOf(peer));
    while (channel.readyState !== "open") await channel.stateChanged.asPromise();
    return new TextChannel(channel, this);
  }

  /** Shows a picture in the video room; returns the number others subscribe to it by. */
  async publish(): Promise<number> {
    const { videoRoomId: room, channelAuthToken: token } = this.options;
    const handle = await this.#client.attach("videoroom");
    await this.#client.message(handle, { request: "join", ptype: "publisher", room, display: this.name, token });
    const { data } = await this.#client.event(handle, (event) => event.data.videoroom === "joined");
    const peer = this.#peer();
    const track = new MediaStreamTrack({ kind: "video" });
    peer.addTransceiver(track, { direction: "sendonly" });
    await peer.setLocalDescription(await peer.createOffer());
    await this.#client.message(handle, { request: "publish" }, { type: "offer", sdp: localOf(peer) });
    await peer.setRemoteDescription(await this.#described(handle));
    await this.#client.event(handle, (event) => event.kind === "webrtcup");
    let sequenceNumber = 0;
    const showing = setInterval(() => {
      const header = { sequenceNumber: sequenceNumber++ & 0xffff, timestamp: sequenceNumber * 1800, payloadType: 96 };
      track.writeRtp(new RtpPacket(new RtpHeader({ ...header, marker: true }), Buffer.from(KEY_FRAME)));
    }, FRAME);
    this.#stops.push(() => clearInterval(showing));
    return Number(data.id);
  }

  /** Watches what somebody publishes; resolves to the first of it. */
  async watch(feed: number): Promise<Buffer> {
    const handle = await this.#client.attach("videoroom");
    const room = this.options.videoRoomId;
    await this.#client.message(handle, { request: "join", ptype: "subscriber", room, streams: [{ feed }] });
    const offer = await this.#described(handle);
    const peer = this.#peer();
    const { promise: seen, resolve } = Promise.withResolvers<Buffer>();
    peer.onTrack.subscribe((track) => track.onReceiveRtp.subscribe(({ payload }) => resolve(payload)));
    await peer.setRemoteDescription(offer);
    await this.#client.message(handle, { request: "start" }, await answerOf(peer));
    return seen;
  }

  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) await stop();
    await this.#client.close();
  }

  #peer(): RTCPeerConnection {
    const peer = new RTCPeerConnection({
      iceServers: [],
      iceAdditionalHostAddresses: ["127.0.0.1"],
      iceUseIpv6: false,
    });
    this.#stops.push(() => peer.close());
    return peer;
  }

  /** The session of media that Janus describes next. */
  async #described(handle: number): Promise<NonNullable<JanusEvent["jsep"]>> {
    const { data, jsep } = await this.#client.event(handle, (event) => Boolean(event.jsep ?? event.data.error));
    if (!jsep) throw new Error(String(data.error));
    return jsep;
  }
}

/** The data channel of a text room. */
export class TextChannel {
  readonly #channel: RTCDataChannel;
  readonly #participant: Participant;

  constructor(channel: RTCDataChannel, participant: Participant) {
    this.#channel = channel;
    this.#participant = participant;
  }

  /** Joins the room with a token; "success", or what the room says against it. */
  async join(token: string | null): Promise<string> {
    const { options, name } = this.#participant;
    const transaction = crypto.randomUUID();
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#channel.onMessage.subscribe((message) => {
      const answer = JSON.parse(String(message)) as { transaction?: string; textroom: string; error?: string };
      if (answer.transaction === transaction) resolve(answer.error ?? answer.textroom);
    });
    const request = { textroom: "join", transaction, room: options.audioRoomId, username: name, display: name };
    this.#channel.send(JSON.stringify({ ...request, ...(token === null ? {} : { token }) }));
    return promise;
  }
}

async function answerOf(peer: RTCPeerConnection): Promise<NonNullable<JanusEvent["jsep"]>> {
  await peer.setLocalDescription(await peer.createAnswer());
  return { type: "answer", sdp: localOf(peer) };
}

const localOf = (peer: RTCPeerConnection) => peer.localDescription?.sdp ?? "";
