/** An archive's file: gzip of its lines, written and read as a stream. */
import { Buffer, isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import {
  ARCHIVE_LIMITS,
  ArchiveError,
  type ArchiveHeader,
  type ArchiveLimits,
  decodeChecksum,
  encodeArchive,
  encodeChecksum,
  makeArchiveDecoder,
} from "../domain/archive.ts";
import type { History } from "../domain/history.ts";

export type Archive = { readonly header: ArchiveHeader; readonly history: History };

const CHUNK_OCTETS = 256 * 1024;

/** Written whole or not at all. */
export async function writeArchive(
  file: string,
  history: History,
  { nowMs, limits = ARCHIVE_LIMITS }: { readonly nowMs: number; readonly limits?: ArchiveLimits },
): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await pipeline(
      Readable.from(octets(history, { nowMs, limits })),
      createGzip(),
      createWriteStream(temporary, { flags: "wx", mode: 0o600 }),
    );
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new ArchiveError(`Cannot write the archive ${file}: ${messageOf(error)}`, { cause: error });
  }
}

function* octets(history: History, { nowMs, limits }: { readonly nowMs: number; readonly limits: ArchiveLimits }): Generator<Buffer> {
  const hash = createHash("sha256");
  let text = "";
  let total = 0;
  const block = (): Buffer => {
    const octetsOfText = Buffer.from(text);
    text = "";
    total += octetsOfText.length;
    if (total > limits.maxOctets) throw tooLarge(`more than ${limits.maxOctets} bytes`);
    hash.update(octetsOfText);
    return octetsOfText;
  };
  if (history.records.length > limits.maxRecords) throw tooLarge(`${history.records.length} changes, more than ${limits.maxRecords}`);
  for (const line of encodeArchive(history, nowMs)) {
    if (line.length > limits.maxLineOctets / 3 && Buffer.byteLength(line) > limits.maxLineOctets)
      throw tooLarge(`a line of more than ${limits.maxLineOctets} bytes`);
    text += line;
    if (text.length >= CHUNK_OCTETS) yield block();
  }
  yield block();
  yield Buffer.from(encodeChecksum(hash.digest("hex")));
}

/** What could not be read again is not written. */
function tooLarge(what: string): ArchiveError {
  return new ArchiveError(`it would have ${what}: narrow it with --since, --until or --kind`);
}

export type ReadArchiveOptions = {
  readonly limits?: ArchiveLimits;
  /** Read all objects' values, not only those that are asked for later. */
  readonly everyValue?: boolean;
};

/** Reads no more than the limits allow, and believes nothing before the checksum holds. */
export async function readArchive(
  file: string,
  { limits = ARCHIVE_LIMITS, everyValue = false }: ReadArchiveOptions = {},
): Promise<Archive> {
  try {
    const source = unpack(createReadStream(file, { highWaterMark: CHUNK_OCTETS }), limits);
    return await decode(source, { limits, everyValue });
  } catch (error) {
    throw new ArchiveError(`Cannot read the archive ${file}: ${messageOf(error)}`, { cause: error });
  }
}

async function decode(source: AsyncIterable<Buffer>, o: Required<ReadArchiveOptions>): Promise<Archive> {
  const hash = createHash("sha256");
  let decoder: ReturnType<typeof makeArchiveDecoder> | undefined;
  const take = (line: string) => {
    if (decoder === undefined) decoder = makeArchiveDecoder(line, o);
    else decoder.add(line);
  };
  const last = await eachBlock(source, o.limits, (block) => {
    hash.update(block);
    const text = textOf(block);
    for (let from = 0; from < text.length;) {
      const to = text.indexOf("\n", from);
      take(text.slice(from, to));
      from = to + 1;
    }
  });
  if (decoder === undefined) throw new ArchiveError("it is empty or cut short");
  if (decodeChecksum(textOf(last)) !== hash.digest("hex")) throw new ArchiveError("its checksum is wrong: it was damaged or changed");
  return { header: (decoder as ReturnType<typeof makeArchiveDecoder>).header, history: decoder.finish() };
}

/** Whole lines as they come, many in a block, each with its line feed; the last line of all is given back. */
async function eachBlock(source: AsyncIterable<Buffer>, { maxLineOctets }: ArchiveLimits, take: (block: Buffer) => void): Promise<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const octets = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const end = octets.lastIndexOf(LINE_FEED);
    const held = end <= 0 ? 0 : octets.lastIndexOf(LINE_FEED, end - 1) + 1;
    if (held > 0) take(octets.subarray(0, held));
    rest = octets.subarray(held);
    if (octets.length - (end + 1) > maxLineOctets) throw new ArchiveError(`a line is longer than ${maxLineOctets} bytes`);
  }
  if (rest.length > 0 && rest.at(-1) !== LINE_FEED) throw new ArchiveError("its last line does not end");
  return rest.subarray(0, -1);
}

const LINE_FEED = 10;

function textOf(octets: Buffer): string {
  if (!isUtf8(octets)) throw new ArchiveError("it is not UTF-8");
  return octets.toString("utf8");
}

/** A small file may unpack to much: no more than `maxOctets` come out. */
async function* unpack(file: Readable, { maxOctets }: ArchiveLimits): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK_OCTETS });
  file.once("error", (error) => gunzip.destroy(error));
  let total = 0;
  try {
    for await (const chunk of file.pipe(gunzip) as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > maxOctets) throw new ArchiveError(`it unpacks to more than ${maxOctets} bytes`);
      yield chunk;
    }
  } finally {
    file.destroy();
    gunzip.destroy();
  }
}

function messageOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code?.startsWith("Z_") ? `it is no gzip file, or a damaged one (${message})` : error instanceof Error ? message : String(error);
}
