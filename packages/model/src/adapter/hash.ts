/** The hashes of Calico's names. Synchronous node:crypto, the only runtime call of this package: same input, same output. */
import { createHash } from "node:crypto";

/** SHA-224 of UTF-8 text, in unpadded URL-safe base64. */
export function sha224Base64Url(text: string): string {
  return createHash("sha224").update(text).digest("base64url");
}

/** SHA-1 of UTF-8 text, in lower-case hex. */
export function sha1Hex(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

/** SHA-256 in unpadded base64url, 43 characters. */
export function sha256Base64Url(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
