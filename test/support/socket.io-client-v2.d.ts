/** What tests use of the stock client of generation 2, which comes without types. */
declare module "socket.io-client-v2" {
  /** The Engine.IO 3 client below a socket. */
  export interface Engine {
    readonly id: string;
    readonly transport: { readonly name: string; close(): void };
    on(event: string, listener: (...args: unknown[]) => void): void;
    close(): void;
  }

  export interface Socket {
    readonly id: string;
    readonly connected: boolean;
    readonly io: { readonly engine: Engine };
    on(event: string, listener: (...args: unknown[]) => void): this;
    once(event: string, listener: (...args: unknown[]) => void): this;
    off(event: string, listener?: (...args: unknown[]) => void): this;
    emit(event: string, ...args: unknown[]): this;
    open(): this;
    close(): this;
  }

  export default function io(url: string, options?: Readonly<Record<string, unknown>>): Socket;
}
