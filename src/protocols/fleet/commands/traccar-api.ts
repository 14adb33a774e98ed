/** Milliseconds an upstream has to answer (F-4.9). */
export const UPSTREAM_TIMEOUT = 10_000;

/** Where commands go that no device link takes (F-12.43). */
export interface TraccarOptions {
  readonly url: string;
  readonly token: string | undefined;
  /** Traccar keeps the command when the device is offline. */
  readonly queue: boolean;
}

/** Hands a command to Traccar; true when it was accepted. Never rejects. */
export async function sendThroughTraccar(options: TraccarOptions, deviceId: number, data: string): Promise<boolean> {
  const attributes = { data, ...(options.queue ? {} : { noQueue: true }) };
  try {
    const response = await fetch(`${options.url.replace(/\/$/, "")}/api/commands/send`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      },
      body: JSON.stringify({ deviceId, type: "custom", attributes }),
      signal: AbortSignal.timeout(UPSTREAM_TIMEOUT),
      redirect: "error",
    });
    await response.body?.cancel();
    return response.status === 200 || response.status === 202;
  } catch {
    return false;
  }
}
