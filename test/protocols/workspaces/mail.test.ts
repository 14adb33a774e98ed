import { afterAll, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { type Person, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

/** A mail server that takes everything and keeps the letters. */
async function mailServer() {
  const letters: string[] = [];
  let wake = Promise.withResolvers<void>();
  const talk = (socket: Socket) => {
    let body: string | null = null;
    socket.write("220 test\r\n");
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      if (body !== null) {
        body += chunk;
        if (!body.endsWith("\r\n.\r\n")) return;
        letters.push(body.replaceAll("=\r\n", "").replaceAll("=3D", "="));
        body = null;
        socket.write("250 taken\r\n");
        wake.resolve();
        wake = Promise.withResolvers();
        return;
      }
      for (const line of chunk.split("\r\n").filter(Boolean)) {
        const command = line.slice(0, 4).toUpperCase();
        if (command === "DATA") {
          body = "";
          socket.write("354 go on\r\n");
        } else socket.write(command === "QUIT" ? "221 bye\r\n" : "250 fine\r\n");
      }
    });
    socket.on("error", () => {});
  };
  const server: Server = createServer(talk);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  /** The next letter to somebody, and the token of the link in it. */
  const letterTo = async (email: string): Promise<string> => {
    for (;;) {
      const at = letters.findIndex((letter) => letter.toLowerCase().includes(email.toLowerCase()));
      const [found] = at < 0 ? [] : letters.splice(at, 1);
      const token = found && /\/(?:verify|reset-password|join)\/(\w+)/.exec(found)?.[1];
      if (token) return token;
      await wake.promise;
    }
  };
  return { url: `smtp://127.0.0.1:${port}`, letterTo, close: () => server.close() };
}

test("W-4.19 W-4.21 W-4.16 W-4.17 W-4.39 letters: verification, a new address, a reset, an invitation", async () => {
  const mail = await mailServer();
  const stage = await stages.start({
    env: {
      WORKSPACES_SMTP_URL: mail.url,
      WORKSPACES_MAIL_FROM: "spaces@example.com",
      WORKSPACES_PUBLIC_URL: "https://spaces.example",
    },
  });
  const person: Person = await stage.person();
  const verified = await stage.must(stage.get(`/verify/${await mail.letterTo(person.email)}`));
  expect(verified.user).toMatchObject({ id: person.id, isEmailVerified: true });

  const fresh = `new-${person.email}`;
  await stage.must(stage.post("/profile", person, { email: fresh }));
  expect((await stage.must(stage.get("/me", person))).email).toBe(person.email);
  const token = await mail.letterTo(fresh);
  await stage.must(stage.get(`/verify/${token}`));
  expect((await stage.must(stage.get("/me", person))).email).toBe(fresh);
  expect((await stage.get(`/verify/${token}`)).body.message).toBe("Verification code is not valid");

  await stage.must(stage.post("/reset-password/init", null, { email: fresh }));
  const reset = await mail.letterTo(fresh);
  expect(await stage.must(stage.get(`/check-token?token=${reset}`))).toEqual({ result: true });
  const { code } = await stage.must(stage.post("/reset-password", null, { token: reset, password: "a new one" }));
  expect((await stage.get("/me", person)).body.message).toBe("Bad token");
  const { accessToken } = await stage.must(stage.post(`/signin/link/${code}`, null));

  // A code of a letter is good for its address alone, and verifies it.
  const workspace = (await stage.must(stage.post("/workspaces", accessToken, { name: "By mail" }))).workspace.id;
  const guest = `${crypto.randomUUID()}@example.com`;
  await stage.must(stage.post(`/workspaces/${workspace}/invite/email`, accessToken, { emailList: [guest] }));
  const bound = await mail.letterTo(guest);
  expect((await stage.must(stage.get(`/check/${bound}`))).email).toBe(guest);
  const thief = await stage.person();
  expect((await stage.post(`/join/${bound}`, thief)).body.message).toBe("InvalidCode");
  const wrong = { name: "X", email: `x${guest}`, password: "1234", inviteCode: bound };
  expect((await stage.post("/signup", null, { user: wrong })).body.message).toBe("Invite code is invalid");
  const joined = await stage.must(stage.post("/signup", null, { user: { ...wrong, email: guest } }));
  expect(joined.user.isEmailVerified).toBe(true);
  expect((await stage.get(`/check/${bound}`)).status).toBe(400);
  await stage.stop();
  mail.close();
});
