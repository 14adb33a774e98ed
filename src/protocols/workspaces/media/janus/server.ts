import { Semaphore } from "../../../../semaphore.ts";
import { Admin } from "./admin.ts";
import { call, type Reply, type Request } from "./call.ts";
import { RoomDesk, type RoomKeys } from "./rooms.ts";
import { ControlSession } from "./session.ts";

/** Calls under way at once to one server, and how many may wait for their turn. */
const CONCURRENCY = 32;
const MAX_WAITING = 5_000;

/** Where a server is: for us, and for clients. */
export interface Addresses {
  readonly url: string;
  readonly adminUrl: string;
  readonly publicUrl: string;
  readonly publicWsUrl: string;
}

/** What all servers share (W-14.13). */
export interface JanusOptions {
  readonly adminSecret: string;
  readonly keys: RoomKeys;
  /** Milliseconds a call may take (W-10.17). */
  readonly timeout: number;
}

/** Too much waits for a server that may well be up. */
export class JanusBusy extends Error {
  override readonly name = "JanusBusy";
}

/** One Janus server. What it is asked may throw {@link JanusBusy} besides what the parts say. */
export class JanusServer {
  readonly addresses: Addresses;
  readonly admin: Admin;
  readonly rooms: RoomDesk;
  /**
   * The server may have restarted since we last looked whether everything is there (W-10.22); true from the start, since
   * it may have done so while no node ran.
   */
  suspect = true;
  readonly #session: ControlSession;
  readonly #token: string;
  #registered = false;

  /**
   * @param token of this node, 50 hex characters
   * @param record notes the token where other nodes find it, before the server hears of it
   */
  constructor(addresses: Addresses, options: JanusOptions, token: string, record: (url: string) => Promise<void>) {
    const turns = new Semaphore({
      permits: CONCURRENCY,
      maxWaiting: MAX_WAITING,
      patience: options.timeout,
      refusal: () => new JanusBusy("too many calls wait for a Janus server"),
    });
    const send = (url: string, request: Request): Promise<Reply> =>
      turns.run(() => call(url, request, options.timeout));
    this.addresses = addresses;
    this.admin = new Admin((request) => send(addresses.adminUrl, { ...request, admin_secret: options.adminSecret }));
    this.#token = token;
    this.#session = new ControlSession({
      call: (path, request) => send(`${addresses.url}${path}`, { ...request, token }),
      register: async () => {
        await record(addresses.url);
        this.#registered = true;
        await this.admin.addToken(token);
      },
      lost: () => {
        this.suspect = true;
      },
    });
    this.rooms = new RoomDesk(this.#session, options.keys);
  }

  /** Asks both APIs for a sign of life, and keeps the control session alive by it (W-10.6, W-10.21). */
  async probe(): Promise<void> {
    await Promise.all([this.#session.keepAlive(), this.admin.ping()]);
  }

  /** Ends the control session and takes the node's token back (W-10.5, W-10.6), if the server ever heard of it. */
  async close(): Promise<void> {
    if (!this.#registered) return;
    // In this order: without the token the session could not be ended.
    await this.#session.close().catch(() => {});
    await this.admin.removeToken(this.#token);
  }
}
