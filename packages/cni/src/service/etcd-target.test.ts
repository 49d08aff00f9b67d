import { expect, test } from "vitest";
import { targetOfEnvironment } from "./etcd-target.ts";

test.for([
  { name: "nothing", env: {}, want: undefined },
  {
    name: "servers and files",
    env: { ETCD_ENDPOINTS: "https://a:2379, https://b:2379", ETCD_CA_CERT_FILE: "/ca", ETCD_CERT_FILE: "/cert", ETCD_KEY_FILE: "/key" },
    want: { endpoints: ["https://a:2379", "https://b:2379"], caFile: "/ca", certFile: "/cert", keyFile: "/key" },
  },
  { name: "one server in the old way", env: { ETCD_AUTHORITY: "a:2379", ETCD_SCHEME: "https" }, want: { endpoints: ["https://a:2379"] } },
])("targetOfEnvironment: $name", ({ env, want }) => {
  expect(targetOfEnvironment(env)).toEqual(want);
});
