import postgres from "postgres";
import type { Answer, Person, Stage, Stages } from "./stage.ts";

/** One workspace with somebody of each role in it, and the ids of what there is of it, by name. */
export interface Place {
  readonly guest: Person;
  readonly names: Readonly<Record<"workspace" | "channel" | "invite" | "token" | "other", string>>;
}

/** People of every role, for any number of workspaces. `other` is one more member, for things to be done to. */
export class Cast {
  readonly stage: Stage;
  readonly owner: Person;
  readonly moderator: Person;
  readonly member: Person;
  readonly other: Person;
  readonly stranger: Person;
  readonly #stages: Stages;

  private constructor(stages: Stages, stage: Stage, people: readonly [Person, Person, Person, Person, Person]) {
    this.#stages = stages;
    this.stage = stage;
    [this.owner, this.moderator, this.member, this.other, this.stranger] = people;
  }

  static async open(stages: Stages): Promise<Cast> {
    const stage = await stages.start();
    const sign = (name: string) => stage.person(name);
    return new Cast(stages, stage, [
      await sign("Olga Owner"),
      await sign("Mona Moderator"),
      await sign("Max Member"),
      await sign("Otto Other"),
      await sign("Stan Stranger"),
    ]);
  }

  /** A new workspace of the owner's, with a public channel, a code and a token, and a guest of another channel. */
  async place(): Promise<Place> {
    const { stage, owner, moderator, member, other } = this;
    const workspace = await stage.workspace(owner, "The place");
    const { code } = await stage.must(stage.post(`/workspaces/${workspace}/invites`, owner));
    for (const person of [moderator, member, other]) await stage.must(stage.post(`/join/${code}`, person));
    await this.#promote(workspace, moderator);
    const channel = await stage.channel(workspace, owner, { name: "The channel" });
    const guest = await stage.guest(await stage.channel(workspace, owner, { name: "Elsewhere" }), owner);
    const [invite] = await stage.must(stage.get(`/workspaces/${workspace}/invites`, owner));
    const token = (await stage.must(stage.post(`/channels/${channel}/invite`, owner))).id;
    return { guest, names: { workspace, channel, invite: invite.id, token, other: other.id } };
  }

  /** Calls `METHOD /path`; names after a colon, in the path and the body, stand for ids. */
  call(
    route: string,
    body: unknown,
    names: Readonly<Record<string, string>>,
    who: Person | string | null,
  ): Promise<Answer> {
    const fill = (text: string) => text.replace(/:([a-z]+)(?![^/?"])/g, (whole, name: string) => names[name] ?? whole);
    const [method = "", path = ""] = route.split(" ");
    const filled = body === undefined ? undefined : JSON.parse(fill(JSON.stringify(body)));
    return this.stage.call(method, fill(path), who, filled);
  }

  /** No route makes moderators: the role is the operator's to give. Without Postgres an admin stands in. */
  async #promote(workspace: string, person: Person): Promise<void> {
    const url = await this.#stages.databaseUrl();
    if (url === undefined) return this.stage.role(workspace, this.owner, person, "admin");
    const sql = postgres(url, { max: 1 });
    await sql`update workspaces.workspace_members set role = 'moderator'
      where workspace_id = ${workspace} and user_id = ${person.id}`;
    await sql.end();
  }
}

/** 200, or the status and text of an error. */
export const errorOf = ({ status, body, text }: Answer) => (status === 200 ? 200 : [status, body?.message ?? text]);
export const DENIED = [403, "Access denied"];
export const NOT_FOUND = [404, "Not found"];
