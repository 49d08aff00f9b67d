import { expect, test } from "vitest";
import { run, runOrThrow } from "./run.ts";

test("run: standard input goes in, both outputs and the code come out", async () => {
  const done = await run(["sh", "-c", "cat; echo problem >&2; exit 3"], { stdin: "hello" });
  expect(done).toEqual({ code: 3, stdout: "hello", stderr: "problem\n", failure: undefined });
});

test("run: a program that does not read its input is no error", async () => {
  expect((await run(["true"], { stdin: "x".repeat(1_000_000) })).code).toBe(0);
});

test("run: time and output are bounded", async () => {
  expect((await run(["sleep", "60"], { timeoutMs: 50 })).failure).toBe("timedOut");
  expect((await run(["yes"], { maxOutputBytes: 10_000 })).failure).toBe("tooMuchOutput");
});

test("run: a program that is not there", async () => {
  expect((await run(["calico-no-such-program"], {})).failure).toBe("notInstalled");
  await expect(runOrThrow(["calico-no-such-program"], {})).rejects.toThrow(/Cannot run calico-no-such-program: not installed/);
});

test("runOrThrow: the message says the code and what the program said", async () => {
  await expect(runOrThrow(["sh", "-c", "echo no >&2; exit 7"], {})).rejects.toThrow(/exit code 7: no/);
});
