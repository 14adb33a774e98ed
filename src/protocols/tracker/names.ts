import { randomInt } from "node:crypto";
import type { Accounts } from "../../accounts/accounts.ts";
import { errors } from "./errors.ts";

const first =
  "Amber Brave Calm Clever Cosy Eager Fair Gentle Golden Happy Jolly Keen Kind Lively Lucky Merry Mild Noble Proud Quick Quiet Rapid Royal Silver Sunny Swift Tidy Warm Wise Witty".split(
    " ",
  );
const second =
  "Badger Beaver Bison Crane Dingo Dolphin Eagle Falcon Finch Fox Gecko Heron Ibis Koala Kiwi Lark Lynx Magpie Numbat Otter Owl Panda Pelican Possum Quokka Raven Robin Seal Swan Wombat".split(
    " ",
  );
/** Of nine million names one is soon found that is free. */
const ATTEMPTS = 20;

/** A free name that T-3.14 allows, first letter upper case (T-3.3). It is not reserved. Throws `service_unavailable`. */
export async function suggestName(accounts: Accounts): Promise<string> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // At most 7 + 7 + 4 characters.
    const name = `${pick(first)}${pick(second)}${randomInt(10_000)}`;
    if ((await accounts.byUsername(name.toLowerCase())) === null) return name;
  }
  throw errors.fault("service_unavailable");
}

const pick = (words: readonly string[]) => words[randomInt(words.length)]!;
