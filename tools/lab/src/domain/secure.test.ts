import { expect, test } from "vitest";
import { apiProcesses, controlProcesses, nodeProcesses, type ProcessSpec, storeProcesses } from "./processes.ts";
import { principals, renderNatsConf, secured } from "./secure.ts";
import { planTopology } from "./topology.ts";

const t = planTopology("sectest");
const plain: readonly ProcessSpec[] = [
  ...storeProcesses(t),
  ...apiProcesses(t),
  ...controlProcesses(t, { ownApi: true, ownControllers: true }),
  ...t.nodes.flatMap((node) => nodeProcesses(t, node)),
];
const specs = secured(t, plain);
const named = (name: string): ProcessSpec => specs.find((spec) => spec.name === name) as ProcessSpec;

test("secured: nobody speaks to etcd in clear, and etcd wants certificates", () => {
  const etcdUrls = specs.filter(({ name }) => name !== "etcd").flatMap(({ args }) => args.filter((arg) => /:(2379|6666)(,|$)/.test(arg)));
  expect(etcdUrls.filter((url) => url.startsWith("http://"))).toEqual([]);
  expect(etcdUrls.some((url) => url.startsWith("https://"))).toBe(true);
  const etcd = named("etcd").args;
  expect(etcd).toContain("--client-cert-auth");
  expect(etcd[etcd.indexOf("--listen-client-urls") + 1]).toMatch(/^https:\/\/[^,]+,https:\/\/[^,]+$/);
});

test("secured: a node's daemons have that node's credentials, and no argument is a secret", () => {
  for (const node of t.nodes) {
    for (const daemon of ["felix", "bgp", "proxy-nat", "ipam", "cni"]) {
      const { env = {}, args } = named(`${node.name}/${daemon}`);
      expect(env).toMatchObject({ NATS_USER: node.name, ETCD_CERT_FILE: `${t.dir}/secure/${node.name}/tls.crt` });
      expect(env["NATS_PASSWORD"]).toBeUndefined();
      expect(args.join(" ")).not.toMatch(/password/i);
    }
  }
  expect(named("syncer").env).toMatchObject({ NATS_USER: "syncer" });
  expect(new Set(principals(t).map(({ user }) => user)).size).toBe(principals(t).length);
});

test("renderNatsConf: a user for each principal, client certificates wanted", () => {
  const conf = renderNatsConf(
    t,
    principals(t).map((p) => ({ ...p, password: "x" })),
  );
  expect(conf).toMatch(/verify: true/);
  expect(conf.match(/user: "/g)?.length).toBe(principals(t).length);
});
