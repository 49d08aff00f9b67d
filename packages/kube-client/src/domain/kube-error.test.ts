import { expect, test } from "vitest";
import { isAlreadyExists, isConflict, isNotFound, KubeError, needsRelist, statusDetail } from "./kube-error.ts";

const status = (o: object) => JSON.stringify({ kind: "Status", ...o });

test.for([
  { name: "a Status object", code: 409, body: status({ reason: "Conflict", message: "m" }), want: "409 Conflict m" },
  { name: "a Status without words", code: 503, body: status({}), want: "503 ServiceUnavailable HTTP 503" },
  { name: "text of a proxy", code: 502, body: "<h1>bad gateway</h1>\n", want: "502 Unknown <h1>bad gateway</h1>" },
  { name: "nothing", code: 404, body: "", want: "404 NotFound HTTP 404" },
])("statusDetail: $name", ({ code, body, want }) => {
  const d = statusDetail(code, body);
  expect(`${d.code} ${d.reason} ${d.message}`).toBe(want);
});

const error = (code: number, reason: string, message = "", details?: unknown) => new KubeError("x", { code, reason, message, details });

test.for([
  { name: "410", e: error(410, "Expired"), want: "relist" },
  { name: "504 from a replaced store", e: error(504, "Timeout", "Too large resource version: 9, current: 1"), want: "relist" },
  { name: "504 otherwise", e: error(504, "Timeout", "slow"), want: "" },
  { name: "404", e: error(404, "NotFound"), want: "notFound" },
  { name: "409 on update", e: error(409, "Conflict"), want: "conflict" },
  { name: "409 on create", e: error(409, "AlreadyExists"), want: "exists" },
  { name: "something else", e: new Error("410"), want: "" },
])("error predicates: $name", ({ e, want }) => {
  const said = [needsRelist(e) && "relist", isNotFound(e) && "notFound", isConflict(e) && "conflict", isAlreadyExists(e) && "exists"];
  expect(said.filter((s) => s !== false).join()).toBe(want);
});
