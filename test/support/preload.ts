import { setDefaultTimeout } from "bun:test";

// Bun 1.4.5 does not read a timeout from bunfig.toml, and its 5 s are short for whole gateways on a busy machine.
setDefaultTimeout(30_000);
