import process from "node:process";
import { openEtcd, type Store } from "@calico/datastore";
import { freePort, killChild } from "@calico/datastore/testing";
import { disagreements, putPool } from "@calico/ipam/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ControlPlane, type Program, type Runtime, startControlPlane } from "../src/apiserver/testing/control-plane.ts";

/** Addresses of Services of type LoadBalancer, from kubectl to etcd's records and back, whatever becomes of the controller. */
const runtime = (process.env["CALICO_RUNTIME"] ?? "deno") as Runtime;
const poll = { timeout: 30_000, interval: 100 };
const LB = { allowedUses: ["LoadBalancer"], nodeSelector: "all()", assignmentMode: "Automatic" };
const IPS = "projectcalico.org/loadBalancerIPs";

let cluster: ControlPlane;
let store: Store;
let controllers: Program;
let health: string;
const k = (line: string, stdin?: string) => cluster.kubectl(line.split(" "), stdin);

beforeAll(async () => {
  cluster = await startControlPlane({ runtime });
  store = openEtcd({ endpoints: cluster.etcd });
  await putPool(store, "public", { cidr: "203.0.113.0/29", blockSize: 29, ...LB });
  await putPool(store, "kept", { cidr: "203.0.113.64/29", blockSize: 29, ...LB, assignmentMode: "Manual" });
  await putPool(store, "pods", { cidr: "192.168.0.0/16", blockSize: 26, natOutgoing: true });
  await start();
});

afterAll(async () => {
  await store?.close();
  await cluster?.stop();
});

async function start(): Promise<void> {
  const port = await freePort();
  health = `http://127.0.0.1:${port}`;
  controllers = cluster.run("packages/kube-controllers/src/main.ts", [
    ...["--kubeconfig", cluster.kubeconfig, "--etcd", cluster.etcd.join()],
    ...["--health-port", String(port), "--enabled-controllers", "loadbalancer"],
  ]);
}

const expose = (...names: readonly string[]) =>
  Promise.all(names.map((name) => k(`create service loadbalancer ${name} --tcp=80:80`))).then((said) =>
    expect(said).toEqual(names.map((name) => `service/${name} created`)),
  );
const shown = async (name: string) => (await k(`get svc ${name} --no-headers`)).split(/ +/)[3];
const ready = async () => {
  const answer = (await fetch(`${health}/readiness`).catch(() => undefined)) as Response | undefined;
  return ((await answer?.json()) as { detail: Record<string, { inSync: boolean; failing: number; problems: string[] }> })?.detail;
};
const problems = async () => (await ready())?.["loadbalancer"]?.problems;
const records = async () => new Map((await store.list("/calico/")).items.map((i) => [i.key, i]));

/** Per Service what IPAM's blocks hold for it. */
async function held(): Promise<Readonly<Record<string, string>>> {
  const out: Record<string, string> = {};
  for (const { key, value } of (await store.list("/calico/ipam/v2/assignment/")).items) {
    const block = JSON.parse(value) as {
      allocations: (number | null)[];
      attributes: { handle_id?: string; secondary?: Record<string, string> }[];
    };
    const first = Number(/\.(\d+)-\d+$/.exec(key)?.[1]);
    for (const [ordinal, index] of block.allocations.entries()) {
      const service = index === null ? undefined : block.attributes[index]?.secondary?.["service"];
      if (service !== undefined) out[service] = [out[service], `203.0.113.${first + ordinal}`].filter(Boolean).join(",");
    }
  }
  return out;
}

test("kubectl expose: a service gets an address, with Calico's records of it", async () => {
  await expose("web");
  await expect.poll(() => shown("web"), poll).toBe("203.0.113.0");
  expect(await held()).toEqual({ web: "203.0.113.0" });
  expect([...(await records()).keys()].filter((key) => key.includes("/virtual/"))).toEqual([
    "/calico/ipam/v2/virtual/load-balancer/ipv4/block/203.0.113.0-29",
  ]);
  await expect.poll(() => k("describe svc web"), poll).toMatch(/Normal +AddressAssigned .*Assigned 203\.0\.113\.0/);
});

test("pinned, from a Manual pool, wrong, taken, released: each is said, and followed", async () => {
  await k(`annotate svc web ${IPS}=["203.0.113.66"]`);
  await expect.poll(() => shown("web"), poll).toBe("203.0.113.66");
  await expose("second");
  await k(`annotate svc second --overwrite ${IPS}=["203.0.113.66"]`);
  await expect.poll(problems, poll).toEqual(["default/second: 203.0.113.66 is of service default/web"]);
  expect(await k("describe svc second")).toMatch(/Warning +AddressTaken .*203\.0\.113\.66 is of service default\/web/);
  await k(`annotate svc second --overwrite ${IPS}=junk`);
  await expect.poll(problems, poll).toEqual([expect.stringMatching(/^default\/second: annotation .* is "junk"; expected a JSON list/)]);
  await k(`annotate svc second ${IPS}- projectcalico.org/ipv4pools=["kept"]`);
  await expect.poll(() => shown("second"), poll).toBe("203.0.113.64");
  await k("delete svc web");
  await expect.poll(held, poll).toEqual({ second: "203.0.113.64" });
  expect(disagreements(await records())).toEqual([]);
});

test("a full pool: who waits is told, and served when another goes", async () => {
  const names = Array.from({ length: 9 }, (_, i) => `many-${i}`);
  await expose(...names);
  await expect.poll(problems, poll).toEqual([expect.stringMatching(/^default\/many-\d: no IPv4 address is left/)]);
  const waiting = /many-\d/.exec((await problems())?.[0] ?? "")?.[0] ?? "";
  await k(`delete svc ${names.find((name) => name !== waiting)}`);
  await expect.poll(() => shown(waiting), poll).toMatch(/^203\.0\.113\./);
  await expect.poll(problems, poll).toEqual([]);
  const left = Object.values(await held());
  expect([left.length, new Set(left).size]).toEqual([9, 9]);
});

test("while it is down services go, come, change type and are made anew; the next one makes up for all, and touches nothing that is right", async () => {
  const before = await held();
  const names = Object.keys(before).filter((name) => name.startsWith("many"));
  const [gone, retyped, anew, ...kept] = names as [string, string, string, ...string[]];
  await killChild(controllers.child);
  await k(`delete svc ${gone} ${anew}`);
  await k(`patch svc ${retyped} -p {"spec":{"type":"NodePort"}}`);
  await expose(anew, "late");
  await k(`annotate svc late ${IPS}=["${before[gone]}"]`);
  const versions = () => Promise.all(kept.map((name) => k(`get svc ${name} -o jsonpath={.metadata.resourceVersion}`)));
  const untouched = await versions();
  await start();
  await expect.poll(() => shown("late"), poll).toBe(before[gone]);
  await expect.poll(async () => (await held())[retyped], poll).toBeUndefined();
  await expect.poll(() => shown(anew), poll).toMatch(/^203\.0\.113\./);
  const after = await held();
  expect([await versions(), kept.map((name) => after[name])]).toEqual([untouched, kept.map((name) => before[name])]);
  expect([await shown(retyped), after[gone]]).toEqual(["<none>", undefined]);
  expect(disagreements(await records())).toEqual([]);
});

test("another class is another controller's: the address goes from the status, then back to the pool", async () => {
  const [name = ""] = Object.keys(await held()).filter((service) => service.startsWith("many"));
  await k(`patch svc ${name} -p {"spec":{"loadBalancerClass":"example.com/other"}}`);
  await expect.poll(async () => (await held())[name], poll).toBeUndefined();
  expect(await shown(name)).toBe("<pending>");
});

test("killed again and again between its writes: nothing is left over, nobody has another's address", async () => {
  await k("delete svc --all");
  await putPool(store, "large", { cidr: "203.0.113.128/25", blockSize: 29, ...LB });
  await expect.poll(held, poll).toEqual({});
  for (let round = 0; round < 4; round++) {
    await expose(...Array.from({ length: 5 }, (_, i) => `r${round}-${i}`));
    if (round > 0) await k(`delete svc r${round - 1}-0 r${round - 1}-1`);
    // As soon as it has begun: the rest is cut off wherever it is.
    await expect.poll(async () => (await held())[`r${round}-0`] ?? (await held())[`r${round}-4`], { ...poll, interval: 1 }).toBeDefined();
    controllers.child.kill("SIGKILL");
    await killChild(controllers.child);
    expect(disagreements(await records())).toEqual([]);
    await start();
  }
  const names = (await k("get svc --no-headers -o custom-columns=:.metadata.name")).split("\n").filter((name) => name !== "kubernetes");
  await expect.poll(async () => Object.keys(await held()).toSorted(), poll).toEqual(names.toSorted());
  const status = () => Promise.all(names.map(async (name) => [name, await shown(name)]));
  await expect.poll(async () => Object.fromEntries(await status()), poll).toEqual(await held());
  expect(new Set(Object.values(await held())).size).toBe(names.length);
  expect(disagreements(await records())).toEqual([]);
});
