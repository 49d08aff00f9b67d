/** An archive's file: gzip of its lines, written and read as a stream. */
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
export async function writeArchive(file: string, history: History, nowMs: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await pipeline(Readable.from(octets(history, nowMs)), createGzip(), createWriteStream(temporary, { flags: "wx", mode: 0o600 }));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new ArchiveError(`Cannot write the archive ${file}: ${messageOf(error)}`, { cause: error });
  }
}

function* octets(history: History, nowMs: number): Generator<Buffer> {
  const hash = createHash("sha256");
  let text = "";
  for (const line of encodeArchive(history, nowMs)) {
    hash.update(line);
    text += line;
    if (text.length < CHUNK_OCTETS) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text + encodeChecksum(hash.digest("hex")));
}

/** Reads no more than the limits allow, and believes nothing before the checksum holds. */
export async function readArchive(file: string, limits: ArchiveLimits = ARCHIVE_LIMITS): Promise<Archive> {
  try {
    return await decode(lines(createReadStream(file), limits), limits);
  } catch (error) {
    throw new ArchiveError(`Cannot read the archive ${file}: ${messageOf(error)}`, { cause: error });
  }
}

async function decode(source: AsyncIterable<Buffer>, limits: ArchiveLimits): Promise<Archive> {
  const hash = createHash("sha256");
  let decoder: ReturnType<typeof makeArchiveDecoder> | undefined;
  let held: Buffer | undefined;
  for await (const line of source) {
    if (held !== undefined) {
      hash.update(held).update("\n");
      if (decoder === undefined) decoder = makeArchiveDecoder(textOf(held), limits);
      else decoder.add(textOf(held));
    }
    held = line;
  }
  if (held === undefined || decoder === undefined) throw new ArchiveError("it is empty or cut short");
  if (decodeChecksum(textOf(held)) !== hash.digest("hex")) throw new ArchiveError("its checksum is wrong: it was damaged or changed");
  return { header: decoder.header, history: decoder.finish() };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(line: Buffer): string {
  try {
    return utf8.decode(line);
  } catch {
    throw new ArchiveError("it is not UTF-8");
  }
}

async function* lines(file: Readable, { maxOctets, maxLineOctets }: ArchiveLimits): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  file.once("error", (error) => gunzip.destroy(error));
  let rest: Buffer[] = [];
  let restOctets = 0;
  let total = 0;
  try {
    for await (const chunk of file.pipe(gunzip) as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > maxOctets) throw new ArchiveError(`it unpacks to more than ${maxOctets} bytes`);
      let from = 0;
      for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
        yield Buffer.concat([...rest, chunk.subarray(from, to)]);
        rest = [];
        restOctets = 0;
        from = to + 1;
      }
      restOctets += chunk.length - from;
      if (restOctets > maxLineOctets) throw new ArchiveError(`a line is longer than ${maxLineOctets} bytes`);
      if (from < chunk.length) rest.push(Buffer.from(chunk.subarray(from)));
    }
  } finally {
    file.destroy();
    gunzip.destroy();
  }
  if (restOctets > 0) throw new ArchiveError("its last line does not end");
}

function messageOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code?.startsWith("Z_") ? `it is no gzip file, or a damaged one (${message})` : error instanceof Error ? message : String(error);
}
