/** The generation the existing desktop client was built with; it comes without types. */
declare module "socket.io-client-v2.4" {
  import type { Socket } from "socket.io-client-v2";

  export default function io(url: string, options?: Readonly<Record<string, unknown>>): Socket;
}
