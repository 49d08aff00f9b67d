import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from "./frame.ts";

const name = fc.constantFrom("PLUGIN", "CNI_COMMAND", "CNI_ARGS", "STDIN");

test("frame: what is encoded decodes to the same, and every prefix of it asks for more", () => {
  fc.assert(
    fc.property(fc.dictionary(name, fc.string({ unit: "grapheme" })), (fields) => {
      const octets = encodeRequest(fields);
      const whole = decodeRequest(octets);
      expect(whole.state === "done" && Object.fromEntries(whole.request.fields)).toEqual({ ...fields });
      for (let i = 0; i < octets.length; i++) expect(decodeRequest(octets.subarray(0, i)).state).toBe("more");
    }),
    { numRuns: 50 },
  );
});

test("frame: any octets at all are refused or waited for, never thrown at", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => ["more", "bad"].includes(decodeRequest(octets).state)));
});

test("frame: an answer that is cut short is none", () => {
  const octets = encodeAnswer({ exit: 1, stdout: '{"msg":"äöü"}\n' });
  expect(decodeAnswer(octets)).toEqual({ exit: 1, stdout: '{"msg":"äöü"}\n' });
  for (let i = 0; i < octets.length; i++) expect(decodeAnswer(octets.subarray(0, i))).toBeUndefined();
});
