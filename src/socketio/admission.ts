import { randomBytes } from "node:crypto";
import { PacketType } from "socket.io-parser";
import type { Connection } from "./connection.ts";
import type { DeclaredNamespace } from "./declared-namespace.ts";
import type { Admission, Handshake } from "./endpoint.ts";
import type { Hub } from "./hub.ts";

type Refusal = Exclude<Admission<unknown>, { readonly session: unknown }>;

/** Asks a namespace whether it admits a client, and tells the client. Never rejects. */
export async function admit(
  connection: Connection,
  namespace: DeclaredNamespace,
  handshake: Handshake,
  hub: Hub,
): Promise<void> {
  let admission: Admission<unknown>;
  try {
    const answer = namespace.declaration.authenticate(handshake);
    // Nothing is awaited without need, so that a quick answer is out before the client's next packet is read.
    admission = answer instanceof Promise ? await answer : answer;
  } catch (error) {
    hub.log.error({ error, namespace: namespace.namespace.name }, "authentication failed to decide");
    admission = { refuse: "close" };
  }
  if ("session" in admission) return connection.admitted(namespace, admission.session);
  connection.refused(namespace);
  if (!connection.open) return;
  hub.meters.refused(admission.refuse);
  refuse(connection, namespace.namespace.name, admission, hub.endpoint.connectTimeout);
}

function refuse(connection: Connection, nsp: string, refusal: Refusal, connectTimeout: number): void {
  switch (refusal.refuse) {
    case "event": {
      // An id as socket.io makes them, though no socket has it.
      const data = connection.conn.protocol === 3 ? undefined : { sid: randomBytes(15).toString("base64url") };
      connection._packet({ type: PacketType.CONNECT, nsp, data });
      connection._packet({ type: PacketType.EVENT, nsp, data: [refusal.event, refusal.payload] });
      connection._packet({ type: PacketType.DISCONNECT, nsp });
      connection.finish();
      break;
    }
    case "error":
      connection.connectError(nsp, refusal.message, refusal.data);
      connection.linger(refusal.linger ?? connectTimeout);
      break;
    case "close":
      connection.drop();
      break;
  }
}
