import type { TokenPair } from "./grants.ts";
import type { Rooms } from "./janus/rooms.ts";
import type { Addresses } from "./janus/server.ts";
import type { ConnectionOptions } from "./media.ts";

/** What a client is given (W-3.23, W-10.28). */
export function connectionOptions(addresses: Addresses, { room }: Rooms, pair: TokenPair): ConnectionOptions {
  return {
    janusServerUrl: addresses.publicUrl,
    janusWsServerUrl: addresses.publicWsUrl,
    janusAuthToken: pair.serverToken,
    channelAuthToken: pair.channelToken,
    audioRoomId: room,
    videoRoomId: room,
  };
}
