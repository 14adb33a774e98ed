import { chat } from "./chat/protocol.ts";
import { conversations } from "./conversations/protocol.ts";
import { fleet } from "./fleet/protocol.ts";
import type { Protocol } from "./protocol.ts";
import { tracker } from "./tracker/protocol.ts";
import { workspaces } from "./workspaces/protocol.ts";

/**
 * Every protocol this gateway speaks; the only place that names them. Where two take the same path the first is asked
 * first: chat takes sockets on `/` that nobody before it claims (C-1.3).
 */
export const protocols: readonly Protocol[] = [tracker, conversations, fleet, workspaces, chat];
