import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, HANGS, type Person, type Stage, Stages } from "./stage.ts";

setDefaultTimeout(HANGS);

const stages = new Stages();
let folder: string;
let stage: Stage;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchbay-files-"));
  stage = await stages.start({
    env: { WORKSPACES_FILES_DIR: folder, WORKSPACES_PUBLIC_URL: "https://spaces.example" },
  });
});
afterAll(async () => {
  await stages.stop();
  await rm(folder, { recursive: true });
});

type Bytes = Uint8Array<ArrayBuffer>;

/** A picture of one colour. */
function picture(width: number, height: number): Bun.Image {
  const header = 54;
  const bytes = Buffer.alloc(header + 4 * width * height, 200);
  bytes.write("BM");
  const fields = [bytes.length, 0, header, 40, width, height, 1 | (32 << 16), 0, 0, 0, 0, 0, 0];
  fields.forEach((field, index) => void bytes.writeInt32LE(field, 2 + 4 * index));
  return new Bun.Image(bytes);
}

const copy = (bytes: Uint8Array): Bytes => new Uint8Array(bytes);

async function upload(who: Person, bytes: Bytes, field = "image", at = stage): Promise<Answer["body"]> {
  const form = new FormData();
  form.set(field, new Blob([bytes]), "picture");
  const response = await fetch(`${at.url}/image`, {
    method: "POST",
    headers: { authorization: `Bearer ${who.token}` },
    body: form,
  });
  return { status: response.status, ...((await response.json()) as object) };
}

/** The file that one of the URLs of an image set leads to. */
const fileAt = (url: string) => join(folder, url.replace("https://spaces.example/files/", ""));
const SIDES = [32, 64, 128, 256, 512];

describe("W-3.20 W-4.27 avatars", () => {
  test("each format is drawn in each size, in proportion, never enlarged", async () => {
    const person = await stage.person();
    for (const format of ["png", "jpeg", "webp"] as const) {
      const { status, fileId, ...set } = await upload(person, copy(await picture(400, 100)[format]().bytes()));
      expect(status).toBe(200);
      expect(fileId).toMatch(/^[0-9a-f-]{36}$/);
      expect(Object.keys(set).sort()).toEqual(SIDES.map((side) => `image${side}x${side}`).sort());
      for (const side of SIDES) {
        const image = new Bun.Image(await Bun.file(fileAt(set[`image${side}x${side}`])).bytes());
        const width = Math.min(side, 400);
        expect(await image.metadata()).toEqual({ width, height: width / 4, format: "webp" });
      }
    }
  });

  test("they are the caller's own, in profiles and workspaces", async () => {
    const [person, other] = [await stage.person(), await stage.person()];
    const { status, fileId, ...set } = await upload(person, copy(await picture(10, 10).png().bytes()));
    expect(status).toBe(200);
    const profile = await stage.must(stage.post("/profile", person, { avatarFileId: fileId }));
    expect([profile.avatarFileId, profile.avatarSet]).toEqual([fileId, set]);
    const stolen = await stage.post("/profile", other, { avatarFileId: fileId });
    expect(stolen.body.message).toBe("You have not access to the file");
    const { workspace } = await stage.must(
      stage.post("/workspaces", person, { name: "With a face", avatarFileId: fileId }),
    );
    expect([workspace.avatarFileId, workspace.avatarSet]).toEqual([fileId, set]);
    const cleared = await stage.must(stage.post("/profile", person, { avatarFileId: null }));
    expect([cleared.avatarFileId, cleared.avatarSet]).toEqual([undefined, undefined]);
  });

  test("W-13.5 what is no image, is damaged, of another format or claims a huge canvas is refused and leaves nothing", async () => {
    const person = await stage.person();
    const png = copy(await picture(60, 60).png().bytes());
    const canvas = copy(png);
    // The header alone says so: 65,535 by 65,535 pixels, four gigapixels.
    new DataView(canvas.buffer).setUint32(16, 65_535);
    new DataView(canvas.buffer).setUint32(20, 65_535);
    const bombs: [string, Bytes][] = [
      ["script", new TextEncoder().encode('<svg onload="alert(1)"/>')],
      ["empty", new Uint8Array()],
      ["signature alone", png.slice(0, 8)],
      ["cut", png.slice(0, 60)],
      ["huge", canvas],
      ["too many pixels", copy(await picture(5_001, 5_000).png().bytes())],
      ["gif", new Uint8Array(Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64"))],
    ];
    const before = await readdir(folder);
    for (const [kind, bytes] of bombs) {
      const { status, message } = await upload(person, bytes);
      expect([kind, status, message]).toEqual([kind, 415, "Unsupported Media Type"]);
    }
    expect((await upload(person, png, "file")).status).toBe(400);
    expect(await readdir(folder)).toEqual(before);
    expect((await upload(person, png)).status).toBe(200);
  });

  test("W-13.5 nothing of an upload but its picture is served", async () => {
    const person = await stage.person();
    const secret = "<script>taken in Lisbon</script>";
    const jpeg = Buffer.from(await picture(64, 64).jpeg().bytes());
    const comment = Buffer.from([0xff, 0xfe, 0, secret.length + 2]);
    const bytes = Buffer.concat([
      jpeg.subarray(0, 2),
      comment,
      Buffer.from(secret),
      jpeg.subarray(2),
      Buffer.from(secret),
    ]);
    const { status, fileId: _, ...set } = await upload(person, copy(bytes));
    expect(status).toBe(200);
    for (const url of Object.values(set)) {
      expect(Buffer.from(await Bun.file(fileAt(String(url))).bytes()).includes(secret)).toBe(false);
    }
  });

  test("W-4.1 more than 5 MB is refused", async () => {
    const { status, message } = await upload(await stage.person(), new Uint8Array(5 * 1024 * 1024 + 1));
    expect([status, message]).toEqual([413, "Payload content length greater than maximum allowed"]);
  });

  test("a hundred of a user and no more, also when they come at once; what is too much leaves no file", async () => {
    const [person, other] = [await stage.person(), await stage.person()];
    const png = copy(await picture(8, 8).png().bytes());
    const before = (await readdir(folder)).length;
    for (let i = 0; i < 97; i++) expect((await upload(person, png)).status).toBe(200);
    const last = await Promise.all(Array.from({ length: 8 }, () => upload(person, png)));
    expect(last.map(({ status }) => status).sort()).toEqual([200, 200, 200, 403, 403, 403, 403, 403]);
    expect(last.find(({ status }) => status === 403).message).toBe("The limit of uploaded files is reached");
    expect((await readdir(folder)).length - before).toBe(100 * SIDES.length);
    expect((await upload(other, png)).status).toBe(200);
  });

  test("W-4.24 they go with their owner's account, but for the face of a workspace", async () => {
    const owner = await stage.person();
    const space = await stage.workspace(owner);
    const person = await stage.member(space, owner);
    const png = copy(await picture(10, 10).png().bytes());
    const [own, spare, face] = [await upload(person, png), await upload(person, png), await upload(person, png)];
    await stage.must(stage.post("/profile", person, { avatarFileId: own.fileId }));
    await stage.role(space, owner, person, "admin");
    await stage.must(stage.post(`/workspaces/${space}`, person, { avatarFileId: face.fileId }));
    await stage.role(space, owner, person, "user");
    const filesOf = async (...uploads: { fileId: string }[]) =>
      (await readdir(folder)).filter((name) => uploads.some(({ fileId }) => name.startsWith(fileId))).length;
    expect(await filesOf(own, spare, face)).toBe(3 * SIDES.length);
    await stage.must(stage.post("/me/delete", person));
    while ((await filesOf(own, spare)) > 0) await Bun.sleep(10);
    expect(await filesOf(face)).toBe(SIDES.length);
    const { workspace } = await stage.must(stage.get(`/workspaces/${space}`, owner));
    expect(workspace.avatarFileId).toBe(face.fileId);
  });

  test("guests upload nothing", async () => {
    const host = await stage.person();
    const guest = await stage.guest(await stage.channel(await stage.workspace(host), host), host);
    expect(await upload(guest, copy(await picture(8, 8).png().bytes()))).toMatchObject({
      status: 403,
      message: "Access denied",
    });
  });

  test("without a store there are no uploads", async () => {
    await using bare = await stages.start();
    const png = copy(await picture(8, 8).png().bytes());
    expect(await upload(await bare.person(), png, "image", bare)).toMatchObject({ status: 404, message: "Not found" });
  });
});
