import { expect, test } from "vitest";
import { reasonOf } from "./nats-reason.ts";

test.for<{ text: string; reason: RegExp }>([
  { text: "received fatal alert: BadCertificate", reason: /refused this client's certificate; see --nats-cert and --nats-key/ }, // Deno
  { text: "received fatal alert: CertificateExpired", reason: /refused this client's certificate/ },
  {
    text: "40CD2C23:error:0A000412:SSL routines:ssl3_read_bytes:ssl/tls alert bad certificate:",
    reason: /refused this client's certificate.*\(error:0A/,
  }, // Node
  { text: "error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:rec_layer_s3.c:918", reason: /refused this client's cert/ },
  { text: "invalid peer certificate: UnknownIssuer", reason: /not issued by the authority in --nats-ca/ },
  { text: "unable to verify the first certificate", reason: /not issued by the authority in --nats-ca/ },
  { text: "write EPIPE", reason: /hung up; .* see --nats-cert \(write EPIPE\)$/ },
  { text: "Hostname/IP does not match certificate's altnames", reason: /not for a host of --nats/ },
  { text: "Authorization Violation", reason: /refused the login; see --nats-user/ },
  { text: "User Authentication Expired", reason: /refused the login; .*--nats-creds \(User Authentication Expired\)$/ },
  { text: "timeout\n", reason: /^timeout$/ },
])("why nats is not reachable: $text", ({ text, reason }) => {
  expect(reasonOf(new Error(text))).toMatch(reason);
});

test("why nats is not reachable: what the client says and what was behind it", () => {
  expect(reasonOf(new Error("no servers", { cause: new Error("connect ECONNREFUSED") }))).toBe("no servers: connect ECONNREFUSED");
});
