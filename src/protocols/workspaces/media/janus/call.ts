import * as v from "valibot";

/** The server did not answer in time, or not as a working Janus does (W-10.21). */
export class JanusAway extends Error {
  override readonly name = "JanusAway";
}

/** The server answered that it will not. */
export class JanusRefusal extends Error {
  override readonly name = "JanusRefusal";
  /** Code of the Janus API, not of a plugin. */
  readonly code: number;

  constructor(code: number, reason: string) {
    super(`Janus refuses: ${reason} (${code})`);
    this.code = code;
  }
}

/** A request of either API, but for its transaction. */
export interface Request {
  readonly janus: string;
  readonly [field: string]: unknown;
}

const Reply = v.looseObject({
  janus: v.string(),
  error: v.optional(v.looseObject({ code: v.number(), reason: v.string() })),
  data: v.optional(v.unknown()),
  plugindata: v.optional(v.looseObject({ data: v.looseObject({}) })),
});

export type Reply = v.InferOutput<typeof Reply>;

/**
 * One request to either API of Janus (W-10.4). Throws {@link JanusAway} and {@link JanusRefusal}.
 *
 * @param timeout milliseconds; they are the system's, since networks do not follow an injected clock
 */
export async function call(url: string, body: Request, timeout: number): Promise<Reply> {
  const reply = await exchange(url, { ...body, transaction: crypto.randomUUID() }, timeout);
  if (reply.janus === "error" || reply.error) {
    throw new JanusRefusal(reply.error?.code ?? 0, reply.error?.reason ?? "no reason given");
  }
  return reply;
}

async function exchange(url: string, body: object, timeout: number): Promise<Reply> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      // A connection kept from before a restart of Janus would fail the first call after it.
      keepalive: false,
      signal: AbortSignal.timeout(timeout),
    });
    if (response.status !== 200) throw new Error(`HTTP status ${response.status}`);
    return v.parse(Reply, await response.json());
  } catch (error) {
    throw new JanusAway("Janus does not answer", { cause: error });
  }
}
