import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ARCHIVE_LIMITS, ArchiveError, type ArchiveLimits } from "../domain/archive.ts";
import { boundHistory } from "../domain/bounds.ts";
import { valueOf } from "../domain/history.ts";
import { aHistory, at } from "../testing.ts";
import { readArchive, writeArchive } from "./archive-file.ts";

const history = boundHistory(aHistory("? a1 b1 ok2 a3 -b4 . . c7 c8 ? c12 ok13", 2), {}, at(100));
let dir: string;
let good: Buffer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "replay-archive-"));
  await writeArchive(join(dir, "good"), history, { nowMs: at(200) });
  good = readFileSync(join(dir, "good"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function read(octets: Uint8Array, limits?: ArchiveLimits) {
  const file = join(dir, "read");
  writeFileSync(file, octets);
  return (await readArchive(file, { everyValue: true, ...(limits && { limits }) })).history;
}
const refusal = (octets: Uint8Array, limits?: ArchiveLimits) =>
  read(octets, limits).then(
    () => "accepted",
    (error: unknown) => (error instanceof ArchiveError ? error.message : `not an ArchiveError: ${String(error)}`),
  );
const lines = () => gunzipSync(good).toString().trimEnd().split("\n");
/** With a checksum that is right. */
function sealed(body: readonly string[]): Buffer {
  const text = body.map((line) => `${line}\n`).join("");
  return gzipSync(`${text}${JSON.stringify({ sha256: createHash("sha256").update(text).digest("hex") })}\n`);
}
const changed = (line: number, change: (json: Record<string, unknown>) => void) => {
  const body = lines().slice(0, -1);
  const json = JSON.parse(body[line]!) as Record<string, unknown>;
  change(json);
  body[line] = JSON.stringify(json);
  return sealed(body);
};

test("archive: what was written is read, limits and all", async () => {
  expect(await read(good)).toEqual(history);
});

test.for<{ name: string; octets: () => Uint8Array; why: string; limits?: Partial<ArchiveLimits> }>([
  { name: "empty", octets: () => new Uint8Array(0), why: "no gzip file, or a damaged one" },
  { name: "not gzip", octets: () => Buffer.from("hello"), why: "no gzip file" },
  { name: "cut", octets: () => good.subarray(0, good.length - 20), why: "no gzip file, or a damaged one" },
  { name: "another version", octets: () => changed(0, (h) => (h["version"] = 2)), why: "its version is 2, this program reads 1" },
  { name: "another format", octets: () => changed(0, (h) => (h["format"] = "tar")), why: "no header" },
  { name: "a header field too many", octets: () => changed(0, (h) => (h["x"] = 1)), why: "its header is wrong" },
  { name: "a wrong count", octets: () => changed(0, (h) => (h["count"] = 3)), why: "more changes than the 3" },
  { name: "a missing change", octets: () => sealed(lines().slice(0, -2)), why: "its header says" },
  {
    name: "a kind that is never carried",
    octets: () => changed(1, (x) => (x["key"] = "/calico/resources/v3/projectcalico.org/secrets/default/x")),
    why: "its key is none of an object",
  },
  { name: "a field too many", octets: () => changed(1, (x) => (x["token"] = 1)), why: 'line 2: unknown field "token"' },
  { name: "a value that is none", octets: () => changed(1, (x) => (x["value"] = [1])), why: "a put without an object" },
  { name: "a revision too large", octets: () => changed(1, (x) => (x["revision"] = 1e300)), why: "no change as export writes one" },
  { name: "a sequence that goes back", octets: () => changed(2, (x) => (x["seq"] = 1)), why: "is not after" },
  { name: "no checksum", octets: () => gzipSync(lines().slice(0, -1).join("\n") + "\n"), why: "no checksum" },
  { name: "changed text", octets: () => gzipSync(gunzipSync(good).toString().replace('"n":"3"', '"n":"4"')), why: "its checksum is wrong" },
  { name: "too deep", octets: () => sealed([lines()[0]!, "[".repeat(5000) + "]".repeat(5000)]), why: "levels deep" },
  {
    name: "a bomb",
    octets: () => gzipSync(Buffer.alloc(8 * 2 ** 20, "x")),
    why: "unpacks to more than",
    limits: { maxOctets: 2 ** 20, maxLineOctets: 2 ** 30 },
  },
  {
    name: "an endless line",
    octets: () => gzipSync(Buffer.alloc(8 * 2 ** 20, "x")),
    why: "a line is longer than",
    limits: { maxLineOctets: 2 ** 20 },
  },
])("archive: $name is refused", async ({ octets, why, limits }) => {
  expect(await refusal(octets(), { ...ARCHIVE_LIMITS, ...limits })).toContain(why);
});

test.for<{ name: string; limits: Partial<ArchiveLimits> }>([
  { name: "changes", limits: { maxRecords: 3 } },
  { name: "bytes", limits: { maxOctets: 500 } },
  { name: "bytes in a line", limits: { maxLineOctets: 50 } },
])("archive: what could not be read again for its $name is not written, and nothing is left", async ({ limits }) => {
  const file = join(dir, "large");
  await expect(writeArchive(file, history, { nowMs: at(200), limits: { ...ARCHIVE_LIMITS, ...limits } })).rejects.toThrow(
    /Cannot write .*narrow it with --since/,
  );
  expect(readdirSync(dir).filter((name) => name.startsWith("large"))).toEqual([]);
});

test("archive: a value that is no JSON is refused by import at once, and by others when it is wanted", async () => {
  const body = lines().slice(0, -1);
  body[1] = body[1]!.replace(/"n":"?\w+"?/, '"n":]');
  const file = join(dir, "damaged");
  writeFileSync(file, sealed(body));
  await expect(readArchive(file, { everyValue: true })).rejects.toThrow(/line 2: not JSON/);
  const [first] = (await readArchive(file)).history.records;
  expect(() => valueOf(first!)).toThrow(/Cannot read the value of \/calico\/.*ippools\/a at revision \d+: it is no JSON/);
});

test("archive: a file that is not there", async () => {
  await expect(readArchive(join(dir, "none"))).rejects.toThrow(/Cannot read the archive .*none: .*no such file/);
});

test("archive: octets changed at random are refused, or say the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.boolean(), async (edits, inside) => {
      const octets = inside ? gunzipSync(good) : Buffer.from(good);
      for (const [where, value] of edits) octets[where % octets.length] = value;
      const result = await read(inside ? gzipSync(octets) : octets).catch((error: unknown) => error);
      if (result instanceof Error) expect(result).toBeInstanceOf(ArchiveError);
      else expect(result).toEqual(history);
    }),
    { numRuns: 100 },
  );
});

test("archive: a damaged text under a right checksum is refused by name, or is a history", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.stringMatching(/^["{}[\],:0-9a-z]{1,3}$/), async (line, where, text) => {
      const body = lines().slice(0, -1);
      const i = line % body.length;
      const old = body[i]!;
      body[i] = old.slice(0, where % old.length) + text + old.slice((where % old.length) + text.length);
      const result = await read(sealed(body)).catch((error: unknown) => error);
      if (result instanceof Error) expect(result).toBeInstanceOf(ArchiveError);
      else expect((result as typeof history).records.length).toBe(history.records.length);
    }),
    { numRuns: 100 },
  );
});
