import { makeIpam } from "@calico/ipam";
import { keyOf } from "@calico/model";
import { expect, test } from "vitest";
import { makeFakeCli } from "./testing.ts";
import type { FakeCli } from "./testing.ts";

const POOL = { kind: "IPPool", apiVersion: "projectcalico.org/v3", metadata: { name: "p" }, spec: { cidr: "10.0.0.0/24", blockSize: 28 } };
const put = (cli: FakeCli, kind: "Node" | "WorkloadEndpoint", name: string, spec: object, namespace?: string) =>
  cli.store.put(
    keyOf({ kind, name, ...(namespace === undefined ? {} : { namespace }) }),
    JSON.stringify({
      kind,
      apiVersion: "projectcalico.org/v3",
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
      spec,
    }),
  );

/** A pool, a pod with endpoint at 10.0.0.1, a leaked address at 10.0.0.2, a borrowed one at 10.0.0.3. */
async function world() {
  const cli = makeFakeCli({ f: JSON.stringify(POOL) });
  expect((await cli.run("apply -f f")).err).toBe("");
  const ipam = makeIpam({ store: cli.store });
  const assign = (last: number, pod: string, node = "n1") =>
    ipam.assignIp({ node, ip: `10.0.0.${last}`, handle: `net.${pod}`, attrs: { pod, namespace: "d", node, timestamp: "T" } });
  await assign(1, "live");
  await assign(2, "dead");
  await assign(3, "guest", "n2");
  for (const [pod, last, node] of [
    ["live", 1, "n1"],
    ["guest", 3, "n2"],
  ] as const)
    await put(
      cli,
      "WorkloadEndpoint",
      `${node}-k8s-${pod}-eth0`,
      { node, orchestrator: "k8s", pod, endpoint: "eth0", ipNetworks: [`10.0.0.${last}/32`] },
      "d",
    );
  return { cli, ipam };
}

test("ipam check: an address that is given while it reads makes no leaked handle", async () => {
  const { cli, ipam } = await world();
  const list = cli.store.list.bind(cli.store);
  cli.store.list = async (prefix, options) => {
    const answer = await list(prefix, options);
    if (prefix.includes("/block/") || prefix.includes("assignment")) await ipam.assignIp({ node: "n1", ip: "10.0.0.9", handle: "net.new" });
    return answer;
  };
  const { out } = await cli.run("ipam check --show-problem-ips");
  expect(await cli.store.get("/calico/ipam/v2/handle/net.new")).toBeDefined();
  expect(out).toContain("Found 0 handles with no matching IPs (and 3 handles with matches).");
  expect(out).toContain("Found 0 handles mentioned in blocks with no matching handle resource.");
});

test("ipam show --show-borrowed: addresses of a block of another node", async () => {
  const { cli } = await world();
  expect((await cli.run("ipam show --show-borrowed")).out).toBe(
    [
      "+----------+----------------+-------------+-------------+------+--------------+",
      "|    IP    | BORROWING-NODE |    BLOCK    | BLOCK OWNER | TYPE | ALLOCATED-TO |",
      "+----------+----------------+-------------+-------------+------+--------------+",
      "| 10.0.0.3 | n2             | 10.0.0.0/28 | n1          | pod  | d/guest      |",
      "+----------+----------------+-------------+-------------+------+--------------+",
      "",
    ].join("\n"),
  );
});

test("ipam configure, and show --show-configuration", async () => {
  const cli = makeFakeCli();
  expect((await cli.run("ipam configure --strictaffinity=true --max-blocks-per-host=4")).out).toBe(
    "Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n",
  );
  expect((await cli.run("ipam configure --ip-cooldown-seconds=60 --kubevirt-ip-persistence=Disabled")).code).toBe(0);
  const { out } = await cli.run("ipam show --show-configuration");
  const rows = out.split("\n").flatMap((line) =>
    line.startsWith("| ")
      ? [
          line
            .split("|")
            .map((cell) => cell.trim())
            .filter(Boolean)
            .join("="),
        ]
      : [],
  );
  expect(rows.slice(-5)).toEqual([
    "StrictAffinity=true",
    "AutoAllocateBlocks=true",
    "MaxBlocksPerHost=4",
    'KubeVirtVMAddressPersistence="Disabled"',
    "IPCooldownSeconds=60",
  ]);
});

test.for([
  { args: "--strictaffinity=maybe", want: 'Invalid value. Use true or false to set strictaffinity, not "maybe"' },
  { args: "--max-blocks-per-host=3", want: "MaxBlocksPerHost requires StrictAffinity to be enabled" },
  { args: "--ip-cooldown-seconds=1201", want: 'Invalid value "1201" for ip-cooldown-seconds' },
  { args: "--strictaffinity=true --max-blocks-per-host=x", want: 'Invalid value "x" for max-blocks-per-host' },
])("ipam configure $args is refused, and nothing is written", async ({ args, want }) => {
  const cli = makeFakeCli();
  const ran = await cli.run(`ipam configure ${args}`);
  expect([ran.code, ran.err]).toEqual([1, expect.stringContaining(want)]);
  expect(cli.store.dump().get("/calico/ipam/v2/config")).toBeUndefined();
});

test("ipam check: finds what leaked, what is used without allocation, handles without addresses", async () => {
  const { cli } = await world();
  expect((await cli.run("ipam check")).out).toMatch(/Check complete; found 1 problems\.\n$/);
  await put(
    cli,
    "WorkloadEndpoint",
    "n1-k8s-x-eth0",
    { node: "n1", orchestrator: "k8s", pod: "x", endpoint: "eth0", ipNetworks: ["10.0.0.9/32"] },
    "d",
  );
  await put(cli, "Node", "n1", { bgp: { ipv4IPIPTunnelAddr: "172.16.0.1" } });
  await cli.store.put("/calico/ipam/v2/handle/empty", '{"block":{"10.0.0.0/28":1},"deleted":false}');
  await cli.store.put("/calico/ipam/v2/host/n3/ipv4/block/10.0.0.0-28", '{"state":"confirmed","deleted":false}');
  const { out } = await cli.run("ipam check --show-problem-ips");
  expect(out).toContain("  10.0.0.2 leaked; handle=net.dead pod=d/dead node=n1 created=T\n");
  expect(out).toContain("  10.0.0.9 in use by Workload(d/n1-k8s-x-eth0) and not allocated\n");
  expect(out).toContain("Found 1 in-use IPs that are not in active IP pools.\n");
  expect(out).toContain("  handle empty has no IPs\n");
  expect(out).toContain("  host:n3 has an affinity to block 10.0.0.0/28, which is host:n1\n");
  expect(out).toMatch(/Check complete; found 5 problems\.\n$/);
});

test("ipam: an address of a service: who has it, and that it is one; one whose service is gone leaked", async () => {
  const spec = { cidr: "203.0.113.0/28", blockSize: 28, allowedUses: ["LoadBalancer"] };
  const cli = makeFakeCli({ f: JSON.stringify({ ...POOL, spec }) });
  expect((await cli.run("apply -f f")).err).toBe("");
  const ipam = makeIpam({ store: cli.store });
  const assign = (service: string, ip: string) =>
    ipam.assignIp({
      ...{ node: "load-balancer", ip, handle: `lb-${service}`, use: "LoadBalancer" },
      attrs: { service, namespace: "d", type: "LoadBalancer", timestamp: "T" },
    });
  await assign("web", "203.0.113.1");
  await assign("gone", "203.0.113.2");
  await cli.store.put(
    keyOf({ kind: "KubernetesService", namespace: "d", name: "web" }),
    JSON.stringify({ kind: "KubernetesService", metadata: { namespace: "d", name: "web" }, spec: { type: "LoadBalancer" } }),
  );
  expect((await cli.run("ipam show --ip 203.0.113.1")).out).toBe(
    "IP 203.0.113.1 is in use\nHandle ID: lb-web\nActive Owner Attributes:\n  namespace: d\n  service: web\n  timestamp: T\n  type: LoadBalancer\n",
  );
  const { out } = await cli.run("ipam check --show-all-ips --show-problem-ips");
  expect(out).toContain("IPAM block 203.0.113.0/28 affinity=virtual:load-balancer:\n");
  expect(out).toContain("  203.0.113.1 in use by Service(d/web)\n");
  expect(out).toContain("  203.0.113.2 leaked; handle=lb-gone service=d/gone type=LoadBalancer created=T\n");
  expect(out).toMatch(/Check complete; found 1 problems\.\n$/);
  const explained = (await cli.run("ipam explain 203.0.113.1")).out;
  expect(explained).toContain("Block: 203.0.113.0/28 of virtual:load-balancer\n");
  expect(explained).toContain("State: assigned to service d/web, LoadBalancer, handle lb-web, sequence ");
  expect(explained).toContain("Evidence: service d/web is of type LoadBalancer\n");
  expect((await cli.run("ipam explain 203.0.113.2")).out).toContain(
    "Evidence: no service d/gone of type LoadBalancer is known; see calicoctl ipam check\n",
  );
});

test("ipam check: what a Windows node reserved is in use, and needs no handle", async () => {
  const cli = makeFakeCli({ f: JSON.stringify(POOL) });
  expect((await cli.run("apply -f f")).err).toBe("");
  const reserve4 = { startOfBlock: 3, endOfBlock: 1, handle: "windows-reserved-ipam-handle", note: "windows host rsvd" };
  await makeIpam({ store: cli.store }).ensureBlock({ node: "win", v4: true, v6: false, reserve4 });
  const { out } = await cli.run("ipam check --show-all-ips");
  expect(out.match(/in use by Reserved for Windows/g)).toHaveLength(4);
  expect(out).toMatch(/Check complete; found 0 problems\.\n$/);
});

test.for([
  { name: "is no JSON", spoil: () => "{", want: "Cannot parse block: " },
  {
    name: "is of another block",
    spoil: (text: string) => text.replace("10.0.0.0/28", "10.0.0.16/28"),
    want: "it says that it is block 10.0.0.16/28",
  },
])("ipam check: a block that $name is named, and nothing in it is called leaked or unknown", async ({ spoil, want }) => {
  const { cli } = await world();
  const key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-28";
  await cli.store.put(key, spoil((await cli.store.get(key))?.value ?? ""));
  const { out } = await cli.run("ipam check --show-problem-ips -o report");
  expect(out).toContain(`Found 1 blocks that cannot be read; nothing is given from them or released in them:\n  ${key}: ${want}`);
  expect(out).toMatch(/Check complete; found 1 problems\.\n$/);
  expect(JSON.parse(cli.files.get("report") ?? "")).toMatchObject({ leakedHandles: [] });
});

test("ipam check: blocks that overlap, and what is given in both", async () => {
  const { cli } = await world();
  const key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-";
  const block = JSON.parse((await cli.store.get(`${key}28`))?.value ?? "");
  const small = { ...block, cidr: "10.0.0.0/30", allocations: block.allocations.slice(0, 4), unallocated: [0] };
  await cli.store.put(`${key}30`, JSON.stringify(small));
  const { out } = await cli.run("ipam check");
  expect(out).toContain(
    "Found 1 blocks that overlap others:\n  block 10.0.0.0/30 is within block 10.0.0.0/28; given in both: 10.0.0.1, 10.0.0.2, 10.0.0.3\n",
  );
});

test("ipam check -o, release --from-report: what leaked goes, what was given again since does not", async () => {
  const { cli, ipam } = await world();
  await cli.store.put("/calico/ipam/v2/handle/empty", '{"block":{"10.0.0.0/28":1},"deleted":false}');
  await ipam.assignIp({ node: "n1", ip: "10.0.0.5", handle: "net.dead2", attrs: { node: "n1", pod: "dead2", namespace: "d" } });
  await cli.run("datastore migrate lock");
  await cli.run("ipam check -o report");
  const report = JSON.parse(cli.files.get("report") ?? "");
  expect(report).toMatchObject({ version: "v0.1.0", datastoreLocked: true, leakedHandles: [{ id: "empty" }] });
  expect(cli.files.get("report")).toMatch(/"sequenceNumber": \d{19},/);
  expect(report.allocations["10.0.0.2"]).toMatchObject([
    { ip: "10.0.0.2", handle: "net.dead", pod: "dead", inUse: false, borrowed: false, coolingDown: false, owners: [] },
  ]);
  await ipam.releaseByHandle("net.dead2");
  await ipam.assignIp({ node: "n1", ip: "10.0.0.5", handle: "net.dead2", attrs: { node: "n1" } });
  const { out, err } = await cli.run("ipam release --from-report=report");
  expect([err, out.split("\n").filter((line) => !line.startsWith("  "))]).toEqual([
    "",
    ["Releasing 2 old IPs...", "Released 1 IPs successfully", "Released 1 handles; 0 skipped; 0 errors.", ""],
  ]);
  expect(out).toMatch(/10\.0\.0\.5 left alone: Cannot release 10\.0\.0\.5: it was assigned again/);
  expect([(await ipam.ownerOf("10.0.0.2")).ok, (await ipam.ownerOf("10.0.0.5")).ok, (await ipam.ownerOf("10.0.0.1")).ok]).toEqual([
    false,
    true,
    true,
  ]);
});

test("release --from-report: refusals, and which of them --force overrides", async () => {
  const { cli } = await world();
  await cli.run("ipam check -o unlocked");
  const release = async (flags: string) => (await cli.run(`ipam release ${flags}`)).err;
  expect(await release("--from-report=unlocked")).toMatch(/^the datastore was not locked/);
  // Digit by digit: the test must not round a sequence number where the program does not.
  const change = (file: string, o: Readonly<Record<string, unknown>>) => {
    const edit = (text: string, [field, value]: [string, unknown]) =>
      text.replace(new RegExp(`"${field}": .*?,\n`), `"${field}": ${JSON.stringify(value)},\n`);
    cli.files.set(file, Object.entries(o).reduce(edit, cli.files.get("unlocked") ?? ""));
  };
  change("other", { clusterGUID: "x", datastoreLocked: true });
  expect(await release("--from-report=other --force")).toMatch(/^the report is of another cluster/);
  change("version", { version: "v9", datastoreLocked: true });
  expect(await release("--from-report=version")).toMatch(/^the report was made by another version/);
  change("old", { clusterInformationRevision: "1", datastoreLocked: true });
  expect(await release("--from-report=old --force")).toMatch(/^no report is recent/);
  const { version, clusterGUID, clusterInformationRevision } = JSON.parse(cli.files.get("unlocked") ?? "");
  cli.files.set("none", JSON.stringify({ version, clusterGUID, clusterInformationRevision, datastoreLocked: true, allocations: {} }));
  expect((await cli.run("ipam release --from-report=unlocked --from-report=none --force")).out).toContain("Releasing 0 old IPs...");
  expect((await cli.run("ipam release --from-report=old --from-report=unlocked --force")).out).toContain("Released 1 IPs successfully");
  expect((await cli.run("ipam release")).err).toBe("give either --ip or --from-report\n");
  cli.files.set("junk", '{"a":1}');
  expect(await release("--from-report=junk")).toMatch(/^cannot read report junk: it is none of ipam check's/);
});

test("ipam release --ip", async () => {
  const { cli } = await world();
  expect((await cli.run("ipam release --ip=10.0.0.2")).out).toBe("Successfully released IP address 10.0.0.2\n");
  expect(await cli.run("ipam release --ip=10.0.0.2")).toEqual({ code: 1, out: "", err: "IP address 10.0.0.2 is not assigned\n" });
});

test("ipam split: refused unless locked, a power of 2 and room; then parts with the pool's settings, and addresses stay", async () => {
  const { cli, ipam } = await world();
  const err = async (args: string) => (await cli.run(`ipam split ${args}`)).err.trim();
  expect(await err("3 --name=p")).toBe("number to split CIDR into is not a valid power of 2: 3");
  expect(await err("2 --name=p")).toBe(
    "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools",
  );
  await cli.run("datastore migrate lock");
  expect(await err("32 --name=p")).toBe("the CIDR 10.0.0.0/24 is not large enough to be split into 32 parts");
  expect(await err("2 --cidr=10.9.0.0/24")).toBe("unable to find IP pool covering CIDR 10.9.0.0/24");
  expect((await cli.run("ipam split 2 --cidr=10.0.0.0/24")).code).toBe(0);
  await cli.run("datastore migrate unlock");
  const { out } = await cli.run("get ippools -o wide");
  expect(out).toMatch(/split-p-0\s+10.0.0.0\/25/);
  expect(out).toMatch(/split-p-1\s+10.0.0.128\/25/);
  expect(out).not.toMatch(/^p /m);
  expect((await ipam.ownerOf("10.0.0.1")).ok).toBe(true);
  expect((await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "new" })).ok).toBe(true);
});

test("ipam explain: the life of an address from the log, CNI's calls and the collector's evidence; and what it is now", async () => {
  const { cli, ipam } = await world();
  const block = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-28";
  const log: { subject: string; atMs: number; revision: number; op: string; text: string }[] = [];
  const at = (minute: number) => Date.parse("2026-11-23T10:00:00Z") + minute * 60_000;
  const keep = async (minute: number) => {
    const kv = await cli.store.get(block);
    log.push({
      subject: "calico.v3.ipamblocks._.10%2E0%2E0%2E0-28",
      atMs: at(minute),
      revision: kv?.modRevision ?? 0,
      op: "put",
      text: kv?.value ?? "",
    });
  };
  await keep(0);
  await ipam.assignIp({ node: "n1", ip: "10.0.0.7", handle: "net.c1", attrs: { pod: "a", namespace: "d", node: "n1" } });
  await keep(1);
  await ipam.releaseByHandle("net.c1");
  await keep(30);
  await ipam.assignIp({ node: "n1", ip: "10.0.0.7", handle: "net.c2", attrs: { pod: "b", namespace: "d", node: "n1" } });
  await keep(40);
  const cni = (minute: number, body: object) => ({
    subject: "calico.cni.n1.add",
    atMs: at(minute) + 1,
    revision: undefined,
    op: undefined,
    text: JSON.stringify(body),
  });
  cli.past.set("log calico.v3.ipamblocks._.*", [
    ...log,
    { ...log[0]!, subject: "calico.v3.ipamblocks._.10%2E0%2E0%2E16-28", text: "other" },
  ]);
  cli.past.set("node calico.cni.>", [
    cni(1, { command: "ADD", node: "n1", containerId: "c1", namespace: "d", pod: "a", ips: ["10.0.0.7/32"], ok: true }),
    cni(40, { command: "ADD", node: "n1", containerId: "zz", ips: ["10.0.0.8/32"], ok: true }),
  ]);
  const evidence = [{ kind: "podMissing", text: "no pod d/a", source: "kubernetes", revision: "70" }];
  cli.past.set("ipam calico.ipam.suspect.10%2E0%2E0%2E7", [
    cni(10, { handle: "net.c1", evidence }),
    cni(12, { handle: "net.c1", owner: "pod d/a" }),
  ]);
  cli.past.set("ipam calico.ipam.gc.10%2E0%2E0%2E7", [
    cni(30, { handle: "net.c1", sequence: "9", since: "2026-11-23T10:15:00Z", evidence }),
  ]);
  const { out } = await cli.run("ipam explain 10.0.0.7 --nats nats://x");
  expect(out.replaceAll(/(sequence|revision) \d+/g, "$1 N")).toBe(
    [
      "IP 10.0.0.7",
      "  Pool: p (10.0.0.0/24)",
      "  Block: 10.0.0.0/28 of host:n1",
      "  State: assigned to pod d/b, on node n1, handle net.c2, sequence N",
      "  Handle: net.c2 has 1 of 10.0.0.0/28, revision N",
      "  Evidence: no workload endpoint has it; see calicoctl ipam check",
      "",
      "History, as far as the event log keeps it:",
      "  2026-11-23T10:00:00.000Z  the block is in the log, of host:n1; the address is free (revision N)",
      "  2026-11-23T10:01:00.000Z  assigned to pod d/a, on node n1, handle net.c1, sequence N; block of host:n1 (revision N)",
      "  2026-11-23T10:01:00.001Z  CNI ADD on node n1 for pod d/a, container c1, succeeded",
      "  2026-11-23T10:10:00.001Z  seen without an owner, of handle net.c1",
      "    because no pod d/a (kubernetes revision N)",
      "  2026-11-23T10:12:00.001Z  seen with its owner again: pod d/a",
      "  2026-11-23T10:30:00.000Z  released by net.c1 (revision N)",
      "  2026-11-23T10:30:00.001Z  released by the garbage collector from handle net.c1, sequence N; without an owner since 2026-11-23T10:15:00Z",
      "    because no pod d/a (kubernetes revision N)",
      "  2026-11-23T10:40:00.000Z  assigned to pod d/b, on node n1, handle net.c2, sequence N; block of host:n1 (revision N)",
      "",
    ].join("\n"),
  );
});

test("ipam explain: without the event log, what it is now", async () => {
  const { cli } = await world();
  const { out } = await cli.run("ipam explain 10.0.0.1");
  expect(out).toContain("Evidence: workload endpoint d/n1-k8s-live-eth0 has it");
  expect(out).toContain("History: not known; give --nats or NATS_URL for the event log");
  expect((await cli.run("ipam explain 10.0.0.200")).out).toContain("State: free");
});

test("ipam check, explain: a virtual machine keeps its address in no pod, and moves with it", async () => {
  const { cli, ipam } = await world();
  const log: { subject: string; atMs: number; revision: number; op: string; text: string }[] = [];
  const keep = async (minute: number) => {
    const kv = await cli.store.get("/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-28");
    const about = { subject: "calico.v3.ipamblocks._.10%2E0%2E0%2E0-28", revision: 1, op: "put" };
    log.push({ ...about, atMs: Date.parse("2026-11-23T10:00:00Z") + minute * 60_000, text: kv?.value ?? "" });
  };
  const handle = "net.vmi.d.vm1";
  const attrs = (pod: string, node: string) => ({ pod, node, namespace: "d", container: `c-${pod}`, "vmi-name": "vm1", "vmi-uid": "L" });
  await keep(0);
  await ipam.assignIp({ node: "n1", ip: "10.0.0.9", handle, attrs: attrs("a", "n1") });
  await keep(1);
  await ipam.own({ handle, role: "alternate", attrs: attrs("t", "n2") });
  await keep(2);
  await ipam.disown({ handle, owner: { namespace: "d", pod: "a", container: "c-a" }, isEnding: false });
  await keep(3);
  await ipam.disown({ handle, owner: { namespace: "d", pod: "t", container: "c-t" }, isEnding: false });
  await keep(4);
  cli.past.set("log calico.v3.ipamblocks._.*", log);
  const body = { command: "DEL", node: "n1", containerId: "c-a", namespace: "d", pod: "a", ok: true };
  cli.past.set("node calico.cni.>", [
    { subject: "calico.cni.n1.del", atMs: log[3]!.atMs - 1, revision: undefined, op: undefined, text: JSON.stringify(body) },
  ]);
  const { out } = await cli.run("ipam explain 10.0.0.9 --nats nats://x");
  expect(out).toContain(`State: assigned to a virtual machine that is in no pod, handle ${handle}`);
  expect(
    out
      .replaceAll(/sequence \d+/g, "sequence N")
      .split("\n")
      .slice(-7, -1),
  ).toEqual([
    "  2026-11-23T10:00:00.000Z  the block is in the log, of host:n1; the address is free (revision 1)",
    `  2026-11-23T10:01:00.000Z  assigned to pod d/a, on node n1, handle ${handle}, sequence N; block of host:n1 (revision 1)`,
    `  2026-11-23T10:02:00.000Z  now of pod d/a, on node n1, moving to pod d/t on node n2, handle ${handle}, sequence N (revision 1)`,
    "  2026-11-23T10:02:59.999Z  CNI DEL on node n1 for pod d/a, container c-a, succeeded",
    `  2026-11-23T10:03:00.000Z  now of pod d/t, on node n2, handle ${handle}, sequence N (revision 1)`,
    `  2026-11-23T10:04:00.000Z  now of a virtual machine that is in no pod, handle ${handle}, sequence N (revision 1)`,
  ]);
  expect((await cli.run("ipam check --show-problem-ips")).out).not.toContain("10.0.0.9 leaked");
});
