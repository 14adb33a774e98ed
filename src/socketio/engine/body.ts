/**
 * Reads the body of a request, never more than `limit` bytes of it; null when there is more. Rejects when the client
 * goes away first.
 */
export async function readBody(request: Request, limit: number): Promise<Buffer | null> {
  const length = request.headers.get("content-length");
  if (length !== null) return Number(length) > limit ? null : Buffer.from(await request.arrayBuffer());
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.byteLength;
    // Leaving the loop cancels the stream.
    if (size > limit) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
