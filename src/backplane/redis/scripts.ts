import type { Script } from "./connection.ts";
import leaseNodes from "./scripts/lease-nodes.lua" with { type: "text" };
import leaseRenew from "./scripts/lease-renew.lua" with { type: "text" };
import now from "./scripts/now.lua" with { type: "text" };
import presenceChange from "./scripts/presence-change.lua" with { type: "text" };
import presenceReap from "./scripts/presence-reap.lua" with { type: "text" };
import recordCreate from "./scripts/record-create.lua" with { type: "text" };
import recordPut from "./scripts/record-put.lua" with { type: "text" };
import recordTake from "./scripts/record-take.lua" with { type: "text" };
import recordUpdate from "./scripts/record-update.lua" with { type: "text" };
import streamTail from "./scripts/stream-tail.lua" with { type: "text" };
import streamTrim from "./scripts/stream-trim.lua" with { type: "text" };
import tallyCount from "./scripts/tally-count.lua" with { type: "text" };
import tallyHold from "./scripts/tally-hold.lua" with { type: "text" };
import tallyTake from "./scripts/tally-take.lua" with { type: "text" };
import timerCancel from "./scripts/timer-cancel.lua" with { type: "text" };
import timerClaim from "./scripts/timer-claim.lua" with { type: "text" };
import timerExtend from "./scripts/timer-extend.lua" with { type: "text" };
import timerFinish from "./scripts/timer-finish.lua" with { type: "text" };
import timerPending from "./scripts/timer-pending.lua" with { type: "text" };
import timerSet from "./scripts/timer-set.lua" with { type: "text" };

// The prefix keeps a script from taking the place of a client's own method.
const script = (name: string, lua: string): Script => ({ name: `patchbay ${name}`, lua: now + lua });

/** Everything that has to happen in one step on the store. Keys, arguments and answers are told in each source. */
export const scripts = {
  leaseNodes: script("lease-nodes", leaseNodes),
  leaseRenew: script("lease-renew", leaseRenew),
  presenceChange: script("presence-change", presenceChange),
  presenceReap: script("presence-reap", presenceReap),
  recordCreate: script("record-create", recordCreate),
  recordPut: script("record-put", recordPut),
  recordTake: script("record-take", recordTake),
  recordUpdate: script("record-update", recordUpdate),
  streamTail: script("stream-tail", streamTail),
  streamTrim: script("stream-trim", streamTrim),
  tallyCount: script("tally-count", tallyCount),
  tallyHold: script("tally-hold", tallyHold),
  tallyTake: script("tally-take", tallyTake),
  timerCancel: script("timer-cancel", timerCancel),
  timerClaim: script("timer-claim", timerClaim),
  timerExtend: script("timer-extend", timerExtend),
  timerFinish: script("timer-finish", timerFinish),
  timerPending: script("timer-pending", timerPending),
  timerSet: script("timer-set", timerSet),
};
