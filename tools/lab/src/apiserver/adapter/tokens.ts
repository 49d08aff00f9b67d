import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

/** Whether an Authorization header carries one of the tokens. */
export type Authenticate = (authorization: string | undefined) => boolean;

/** Tokens from a file, one per line. The file must be its owner's alone. */
export function loadTokens(file: string): Authenticate {
  const mode = statSync(file).mode & 0o777;
  if ((mode & 0o077) !== 0)
    throw new Error(
      `Cannot use token file ${file}: its mode is ${mode.toString(8).padStart(4, "0")}, others can read it; run chmod 0600 on it`,
    );
  const tokens = readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map(digest);
  if (tokens.length === 0) throw new Error(`Cannot use token file ${file}: it is empty, expected one token per line`);
  return (authorization) => {
    const sent = digest(/^Bearer\s+(\S+)\s*$/i.exec(authorization ?? "")?.[1] ?? "");
    return tokens.map((token) => timingSafeEqual(token, sent)).includes(true);
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
