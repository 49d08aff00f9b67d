import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { sha256, sha256Base64Url } from "./sha256.ts";

test("sha256: agrees with the runtime's crypto for any text and any length around the block size", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 200 }), (text) => {
      expect(Buffer.from(sha256(text)).toString("hex")).toBe(createHash("sha256").update(text).digest("hex"));
    }),
  );
  for (let n = 50; n < 130; n++) {
    const text = "x".repeat(n);
    expect(sha256Base64Url(text)).toBe(createHash("sha256").update(text).digest("base64url"));
    expect(sha256Base64Url(text, 16)).toBe(createHash("sha256").update(text).digest("base64url").slice(0, 16));
  }
});
