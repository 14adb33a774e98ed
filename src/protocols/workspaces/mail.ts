import { createTransport } from "nodemailer";
import type { Log } from "../../observe/log.ts";
import type { WorkspacesSettings } from "./settings.ts";

/** A letter to somebody. */
export interface Letter {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** The optional mail hook (W-14.15). */
export interface Mailer {
  /** Hands a letter over. Never rejects: what cannot be sent is logged. */
  send(letter: Letter): Promise<void>;
}

/** What the letters say. Links lead to pages of the client below `base`. */
export const letters = {
  verification: (to: string, base: string, token: string): Letter => ({
    to,
    subject: "Confirm your e-mail address",
    text: `Open this link within a day to confirm your address:\n\n${base}/verify/${token}\n`,
  }),
  reset: (to: string, base: string, token: string): Letter => ({
    to,
    subject: "Reset your password",
    text: `Open this link within an hour to choose a new password:\n\n${base}/reset-password/${token}\n`,
  }),
  invitation: (to: string, base: string, workspace: string, code: string): Letter => ({
    to,
    subject: `Invitation to ${workspace}`,
    text: `You are invited to ${workspace}. Open this link within a day to join:\n\n${base}/join/${code}\n`,
  }),
};

/** The mail hook, if there is a server to send by. */
export function openMailer(settings: WorkspacesSettings, log: Log): Mailer | null {
  const { smtpUrl, mailFrom } = settings;
  if (smtpUrl === undefined) return null;
  const transport = createTransport(smtpUrl);
  return {
    async send(letter) {
      try {
        await transport.sendMail({ from: mailFrom, ...letter });
      } catch (error) {
        log.warn({ error }, "a letter was not sent");
      }
    },
  };
}
