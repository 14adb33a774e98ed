import { createTransport } from "nodemailer";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../observe/log.ts";
import { Semaphore } from "../../semaphore.ts";
import type { WorkspacesSettings } from "./settings.ts";

/** Milliseconds for a connection and its greeting, and for each answer after it. */
const CONNECT_TIMEOUT = 10_000;
const ANSWER_TIMEOUT = 30_000;
/** Letters under way at a time, and those that may wait for a slow mail server. */
const SENDERS = 4;
const MAX_WAITING = 1_000;
/** Milliseconds a node that stops gives to the letters that are left. */
const FAREWELL = 2_000;

/** Pages of the client, below WORKSPACES_PUBLIC_URL, that take a token or code. */
export const links = (publicUrl: string) => {
  const base = publicUrl.replace(/\/$/, "");
  return {
    verification: (token: string) => `${base}/verify/${token}`,
    reset: (token: string) => `${base}/reset-password/${token}`,
    invitation: (code: string) => `${base}/join/${code}`,
  };
};

/**
 * The optional mail hook (W-14.15). Letters are handed over without waiting for them: an answer that took as long as the
 * mail server would tell which addresses are known. What cannot be sent is logged.
 */
export class Mailer {
  readonly #transport: ReturnType<typeof createTransport>;
  readonly #from: string;
  readonly #links: ReturnType<typeof links>;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #turns = new Semaphore({
    permits: SENDERS,
    maxWaiting: MAX_WAITING,
    refusal: () => new Error("too many letters wait for the mail server"),
  });

  constructor(parts: { log: Log; clock: Clock }, server: { url: string; from: string; publicUrl: string }) {
    const { url, from, publicUrl } = server;
    this.#transport = createTransport({
      url,
      connectionTimeout: CONNECT_TIMEOUT,
      greetingTimeout: CONNECT_TIMEOUT,
      socketTimeout: ANSWER_TIMEOUT,
    });
    this.#from = from;
    this.#links = links(publicUrl);
    this.#log = parts.log;
    this.#clock = parts.clock;
  }

  verification(to: string, token: string): void {
    const link = this.#links.verification(token);
    this.#send(to, "Confirm your e-mail address", `Open this link within a day to confirm your address:\n\n${link}\n`);
  }

  reset(to: string, token: string): void {
    const link = this.#links.reset(token);
    this.#send(to, "Reset your password", `Open this link within an hour to choose a new password:\n\n${link}\n`);
  }

  invitation(to: string, workspace: string, code: string): void {
    const link = this.#links.invitation(code);
    const text = `You are invited to ${workspace}. Open this link within a day to join:\n\n${link}\n`;
    this.#send(to, `Invitation to ${workspace}`, text);
  }

  /** Done when every letter has left, or when that takes too long. */
  async close(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(FAREWELL, resolve);
    await Promise.race([this.#turns.idle(), late]);
    cancel();
  }

  #send(to: string, subject: string, text: string): void {
    this.#turns
      .run(() => this.#transport.sendMail({ from: this.#from, to, subject, text }))
      .catch((error: unknown) => this.#log.warn({ error }, "a letter was not sent"));
  }
}

/** The mail hook, if there is a server to send by. */
export function openMailer(parts: { log: Log; clock: Clock }, settings: WorkspacesSettings): Mailer | null {
  const { smtpUrl, mailFrom, publicUrl } = settings;
  if (smtpUrl === undefined || mailFrom === undefined || publicUrl === undefined) return null;
  return new Mailer(parts, { url: smtpUrl, from: mailFrom, publicUrl });
}
