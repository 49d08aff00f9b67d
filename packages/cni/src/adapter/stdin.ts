import type { Readable } from "node:stream";
import { CniFault } from "../domain/fault.ts";

/** All of a runtime's input; one that never closes it is cut off by the deadline. */
export async function readInput(stream: Readable, deadlineMs: number): Promise<string> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new CniFault("ioFailure", "cannot read standard input", `it did not end within ${deadlineMs / 1000} s`));
  }, deadlineMs);
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const whole = new Promise<string>((resolve, reject) => {
    stream.once("end", () => resolve(Buffer.concat(chunks).toString()));
    stream.once("error", reject);
  });
  try {
    return await Promise.race([whole, late.promise]);
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}
