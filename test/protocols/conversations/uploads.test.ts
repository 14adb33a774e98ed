import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { API, type Stage, Stages } from "./stage.ts";

const stages = new Stages();
let stage: Stage;
beforeAll(async () => {
  stage = await stages.start();
});
afterAll(() => stages.stop());

describe("uploads", () => {
  const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3, 4]);
  const form = (bytes: Uint8Array, field = "file", name = "virus.exe") => {
    const data = new FormData();
    data.append(field, new File([Buffer.from(bytes)], name, { type: "text/html" }));
    return data;
  };
  const upload = async (at: Stage, body: FormData | string, token?: string) => {
    const headers = { "x-chozoi-token": token ?? (await at.person()).token };
    const response = await fetch(`${at.url}${API}/uploads`, { method: "POST", headers, body });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test("V-3.45 V-3.46 V-3.47 an image by its bytes, served publicly", async () => {
    const { status, body } = await upload(stage, form(PNG));
    expect([status, body.status]).toEqual([200, true]);
    expect(body.url).toMatch(new RegExp(`^${stage.url}${API}/uploads/[0-9a-f]{32}\\.png$`));
    const served = await fetch(String(body.url));
    expect(served.headers.get("content-type")).toBe("image/png");
    expect(served.headers.get("x-content-type-options")).toBe("nosniff");
    expect(served.headers.get("cache-control")).toContain("max-age=31536000");
    expect(await served.bytes()).toEqual(PNG);
    const texts: [string, string][] = [
      ["\xff\xd8\xff\xe0", "jpg"],
      ["GIF89a", "gif"],
      ["RIFF\0\0\0\0WEBP", "webp"],
    ];
    for (const [text, extension] of texts) {
      expect((await upload(stage, form(Buffer.from(text, "latin1")))).body.url).toEndWith(`.${extension}`);
    }
  });

  test("V-3.45 V-3.46 V-3.47 what is refused", async () => {
    expect((await upload(stage, form(PNG), "nonsense")).status).toBe(401);
    expect((await upload(stage, form(PNG, "picture"))).body).toMatchObject({
      code: "BAD_REQUEST",
      message: "Invalid file",
    });
    expect((await upload(stage, "nonsense")).body).toMatchObject({ code: "BAD_REQUEST", message: "Invalid file" });
    expect(await upload(stage, form(Buffer.from("<svg/>"), "file", "x.png"))).toMatchObject({
      status: 415,
      body: { code: "UNSUPPORTED_TYPE" },
    });
    const small = await stages.start({ env: { CONVERSATIONS_UPLOAD_MAX_BYTES: "100" } });
    for (const size of [101, 100_000]) {
      const large = new Uint8Array(size);
      large.set(PNG);
      expect(await upload(small, form(large))).toMatchObject({ status: 413, body: { code: "TOO_LARGE" } });
    }
    for (const name of ["..%2fsecrets.json", `${"0".repeat(32)}.png`, "x"]) {
      expect(await stage.call(null, "GET", `/uploads/${name}`)).toMatchObject({
        status: 404,
        body: { code: "NOT_FOUND" },
      });
    }
  });

  test("V-3.47 into a bucket", async () => {
    const stored = new Map<string, Uint8Array>();
    using bucket = Bun.serve({
      port: 0,
      async fetch(request) {
        if (!request.headers.get("authorization")?.includes("Credential=key/"))
          return new Response(null, { status: 403 });
        stored.set(new URL(request.url).pathname, await request.bytes());
        return new Response(null, { headers: { etag: '"x"' } });
      },
    });
    const at = await stages.start({
      env: {
        CONVERSATIONS_S3_BUCKET: "images",
        CONVERSATIONS_S3_ENDPOINT: bucket.url.origin,
        CONVERSATIONS_S3_ACCESS_KEY_ID: "key",
        CONVERSATIONS_S3_SECRET_ACCESS_KEY: "secret",
        CONVERSATIONS_S3_PUBLIC_URL: "https://cdn.example/images/",
      },
    });
    const { body } = await upload(at, form(PNG));
    expect(body.url).toMatch(/^https:\/\/cdn\.example\/images\/[0-9a-f]{32}\.png$/);
    expect(stored.get(`/images/${String(body.url).split("/").at(-1)}`)).toEqual(PNG);
  });
});
