import { afterAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, type Person, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
afterAll(() => stages.stop());

const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3]);

async function upload(
  stage: Stage,
  who: Person,
  bytes: Uint8Array<ArrayBuffer>,
  field = "image",
): Promise<Answer["body"]> {
  const form = new FormData();
  form.set(field, new Blob([bytes]), "picture");
  const response = await fetch(`${stage.url}/image`, {
    method: "POST",
    headers: { authorization: `Bearer ${who.token}` },
    body: form,
  });
  return { status: response.status, ...((await response.json()) as object) };
}

test("W-4.27 W-3.20 avatars: images alone, by their content, of the caller alone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "patchbay-files-"));
  const stage = await stages.start({
    env: { WORKSPACES_FILES_DIR: folder, WORKSPACES_PUBLIC_URL: "https://spaces.example" },
  });
  const [person, other] = [await stage.person(), await stage.person()];
  const image = await upload(stage, person, PNG);
  expect(image).toMatchObject({ status: 200, original: `https://spaces.example/files/${image.fileId}` });
  expect(await readdir(folder)).toEqual([image.fileId]);
  const profile = await stage.must(stage.post("/profile", person, { avatarFileId: image.fileId }));
  expect([profile.avatarFileId, profile.avatarSet.image32x32]).toEqual([image.fileId, image.image32x32]);
  const stolen = await stage.post("/profile", other, { avatarFileId: image.fileId });
  expect(stolen.body.message).toBe("You have not access to the file");
  expect(await upload(stage, person, new TextEncoder().encode("<svg/>"))).toMatchObject({
    status: 415,
    message: "Unsupported Media Type",
  });
  expect(await upload(stage, person, PNG, "file")).toMatchObject({ status: 400 });
  const cleared = await stage.must(stage.post("/profile", person, { avatarFileId: null }));
  expect(cleared.avatarSet).toBeUndefined();
  await stage.stop();
  await rm(folder, { recursive: true });
});

test("W-4.27 without a store there are no uploads", async () => {
  const stage = await stages.start();
  expect(await upload(stage, await stage.person(), PNG)).toMatchObject({ status: 404, message: "Not found" });
  await stage.stop();
});
