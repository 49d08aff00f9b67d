import { expect, test } from "vitest";
import { etcdAccess } from "./etcd-access.ts";

test("etcdAccess: files stay files, the password comes from the environment", () => {
  expect(etcdAccess({})).toEqual({});
  expect(etcdAccess({ etcdCa: "/ca", etcdCert: "/c", etcdKey: "/k", etcdUser: "u" }, { ETCD_PASSWORD: "p" })).toEqual({
    tls: { caFile: "/ca", certFile: "/c", keyFile: "/k" },
    auth: { username: "u", password: "p" },
  });
});

test.for([
  { name: "a certificate without an authority", flags: { etcdCert: "/c", etcdKey: "/k" }, want: /set --etcd-ca/ },
  { name: "half a certificate", flags: { etcdCa: "/ca", etcdKey: "/k" }, want: /belong together/ },
  { name: "a user without a password", flags: { etcdUser: "u" }, want: /--etcd-password-file or ETCD_PASSWORD/ },
])("etcdAccess: refuses $name", ({ flags, want }) => {
  expect(() => etcdAccess(flags, {})).toThrow(want);
});
