import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { readInput } from "./stdin.ts";

test("readInput: everything up to the end", async () => {
  const stream = new PassThrough();
  const input = readInput(stream, 60_000);
  for (const part of ['{"a":"ü', '"}']) stream.write(part);
  stream.end();
  expect(await input).toBe('{"a":"ü"}');
});

test("readInput: one that does not end is an error that says so, and lets go", async () => {
  const stream = new PassThrough();
  stream.write("{");
  await expect(readInput(stream, 1)).rejects.toMatchObject({ code: 5, details: "it did not end within 0.001 s" });
  expect(stream.destroyed).toBe(true);
});
