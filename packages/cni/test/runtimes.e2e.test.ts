/** Real runtimes drive the plugin: containerd over CRI, `ctr run --cni`, podman. Each is skipped, with the reason, where its Debian package is missing. */
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runOrThrow } from "@calico/linux";
import { containerdConfig, makePauseImage, openCri } from "./cri-kit.ts";
import type { Cri } from "./cri-kit.ts";
import { startNode } from "../src/testing/node-kit.ts";
import type { TestNode } from "../src/testing/node-kit.ts";

const missing = (...programs: string[]) => programs.filter((p) => !["/usr/bin", "/usr/sbin", "/bin"].some((d) => existsSync(join(d, p))));
const without = (...programs: string[]) => {
  const names = missing(...programs);
  return names.length === 0 ? "" : ` (skipped: ${names.join(", ")} not installed; setup/setup.sh --test installs it)`;
};

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
  await node.start("ipam");
  await node.start("cni", "--policy-wait-ms", "0");
  for (const plugin of ["portmap", "bandwidth", "tuning", "loopback", "host-local", "firewall"])
    if (existsSync(`/usr/lib/cni/${plugin}`)) await cp(`/usr/lib/cni/${plugin}`, join(node.dir, "bin", plugin));
  await mkdir(join(node.dir, "net.d"));
  const plugins = [
    { type: "calico", etcd_endpoints: node.etcdUrl, mtu: 1450, ipam: { type: "calico-ipam" }, policy: {} },
    { type: "portmap", snat: true, capabilities: { portMappings: true } },
    { type: "bandwidth", capabilities: { bandwidth: true } },
    { type: "tuning", sysctl: { "net.core.somaxconn": "512" } },
  ];
  await writeFile(join(node.dir, "net.d/10-calico.conflist"), JSON.stringify({ cniVersion: "1.0.0", name: "k8s-pod-network", plugins }));
});
afterAll(() => node?.[Symbol.asyncDispose]());

async function left(): Promise<string> {
  const veths = (await node.ip(node.ns, "-o", "link", "show", "type", "veth")).trim();
  const keys = [
    ...(await node.keys("/calico/ipam/v2/handle/")),
    ...(await node.keys("/calico/resources/v3/projectcalico.org/workloadendpoints/")),
  ];
  return [veths, ...keys].filter((s) => s !== "").join("\n");
}

const ping = async (ip: string) => (await node.inNode("busybox", "ping", "-c", "1", "-W", "3", ip)).code;

describe.skipIf(missing("containerd", "runc").length > 0)(`containerd${without("containerd", "runc")}`, () => {
  let cri: Cri;
  beforeAll(async () => {
    const { dir } = node;
    await writeFile(join(dir, "containerd.toml"), containerdConfig(dir));
    const env = [
      `CALICO_CNI_SOCKET=${join(dir, "run/cni.sock")}`,
      `CALICO_RUN_DIR=${join(dir, "run")}`,
      `CALICO_VAR_DIR=${join(dir, "var")}`,
    ];
    const socket = join(dir, "containerd.sock");
    await node.launch("containerd", ["env", ...env, "containerd", "-c", join(dir, "containerd.toml")], ["ctr", "-a", socket, "version"]);
    await runOrThrow(["ctr", "-a", socket, "-n", "k8s.io", "images", "import", "--snapshotter", "native", await makePauseImage(dir)], {});
    cri = openCri(socket);
  });
  afterAll(() => cri?.[Symbol.dispose]());

  test("CRI: a sandbox has an address of the pool, is reached, also by its host port; after Stop and Remove nothing is left", async () => {
    const id = await cri.run({ name: "web", hostPort: 8088 });
    const ip = await cri.ipOf(id);
    expect(ip).toMatch(/^192\.200\./);
    expect(await ping(ip)).toBe(0);
    expect((await node.inNode("iptables-save", "-t", "nat")).stdout).toContain(`--to-destination ${ip}:80`);
    const netns = (await node.keys("/calico/resources/v3/projectcalico.org/workloadendpoints/default/")).map((k) => k.split("/").at(-1));
    expect(netns).toEqual(["node1-k8s-web-eth0"]);
    await cri.stop(id);
    expect(await left()).toBe("");
    expect((await node.inNode("iptables-save", "-t", "nat")).stdout).not.toContain(`--to-destination ${ip}:80`);
    await cri.stop(id);
    await cri.remove(id);
  });

  test("CRI: a sandbox whose process dies early", async () => {
    const id = await cri.run({ name: "dies" });
    const { stdout } = await run(["ctr", "-a", join(node.dir, "containerd.sock"), "-n", "k8s.io", "task", "kill", "-s", "KILL", id], {});
    expect(stdout).toBe("");
    await cri.stop(id);
    await cri.remove(id);
    expect(await left()).toBe("");
  });

  test("CRI: thirty at once, some stopped at once; thirty addresses, and nothing is left", { timeout: 180_000 }, async () => {
    const pods = Array.from({ length: 30 }, (_, i) => `many${i}`);
    const ids = await Promise.all(
      pods.map(async (name, i) => {
        const id = await cri.run({ name });
        const ip = await cri.ipOf(id);
        if (i % 5 === 0) await cri.stop(id);
        return { id, ip };
      }),
    );
    expect(new Set(ids.map((p) => p.ip)).size).toBeGreaterThanOrEqual(24);
    const alive = ids.filter((_, i) => i % 5 !== 0);
    expect(new Set(alive.map((p) => p.ip)).size).toBe(alive.length);
    await Promise.all(ids.map(({ id }) => cri.stop(id)));
    await Promise.all(ids.map(({ id }) => cri.remove(id)));
    expect(await left()).toBe("");
  });

  test("ctr run --cni, in a mount namespace of its own", async () => {
    const { dir } = node;
    const mounts = ["/opt/cni/bin", "/etc/cni/net.d"];
    const made = [];
    for (const path of mounts) if (!existsSync(path)) made.push(path);
    const script = [
      "mount --make-rprivate /",
      "mount -t tmpfs none /opt && mkdir -p /opt/cni/bin && mount --bind $D/bin /opt/cni/bin",
      "mkdir -p $D/etc-cni/net.d && cp $D/net.d/* $D/etc-cni/net.d/",
      "mount -t tmpfs none /mnt && mkdir -p /mnt/up /mnt/work && mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc",
      "mkdir -p /etc/cni/net.d && cp $D/net.d/* /etc/cni/net.d/",
      "ctr -a $D/containerd.sock -n t images import --snapshotter native $D/pause-image.tar >/dev/null",
      // In the foreground, since only then ctr calls DEL: after the container and its namespace are gone.
      'C="ctr -a $D/containerd.sock -n t"',
      "$C run --snapshotter native --cni localhost/pause:1 ctrpod & run=$!",
      "until $C task ls | grep -q RUNNING; do kill -0 $run; read -rt 0.1 <> <(:) || :; done",
      "$C task kill -s KILL ctrpod",
      "wait $run || true",
      "$C container rm ctrpod || true",
    ].join("\n");
    const env = [`D=${dir}`, `CALICO_CNI_SOCKET=${join(dir, "run/cni.sock")}`];
    const done = await node.inNode("env", ...env, "unshare", "-m", "bash", "-euc", script);
    expect(done.code, done.stdout + done.stderr).toBe(0);
    expect(made.filter((path) => existsSync(path))).toEqual([]);
    expect(node.log("cni")).toMatch(/"command":"ADD","containerId":"t-ctrpod"[^]*"command":"DEL","containerId":"t-ctrpod"/);
    expect(await left()).toBe("");
  });
});

describe.skipIf(missing("podman", "runc").length > 0)(`podman${without("podman", "runc")}`, () => {
  test("network_backend cni: a container is reached; after it is removed nothing is left", async () => {
    const { dir } = node;
    const root = join(dir, "podman");
    const config = join(dir, "containers.conf");
    // The clean-up process of podman's monitor has none of our environment, and it is the one that calls DEL if it comes first.
    const plugins = join(dir, "podman-bin");
    await mkdir(plugins);
    for (const name of await readdir(join(dir, "bin")))
      await writeFile(join(plugins, name), `#!/bin/sh\nCALICO_CNI_SOCKET=${dir}/run/cni.sock exec ${dir}/bin/${name}\n`, { mode: 0o755 });
    await makePauseImage(dir);
    await writeFile(
      config,
      `[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["${plugins}"]\nnetwork_config_dir = "${dir}/net.d"\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n`,
    );
    const base = ["--root", join(root, "root"), "--runroot", join(root, "run"), "--storage-driver", "vfs", "--tmpdir", join(root, "tmp")];
    const podman = (...args: string[]) => node.inNode("env", `CONTAINERS_CONF=${config}`, "podman", ...base, ...args);
    await mkdir(join(dir, "rootfs"));
    await cp(join(dir, "pause-root/pause"), join(dir, "rootfs/pause"));
    const started = await podman("run", "-d", "--name", "pp", "--network", "k8s-pod-network", "--rootfs", join(dir, "rootfs"), "/pause");
    try {
      expect(started.code, started.stdout + started.stderr).toBe(0);
      const shown = await podman("inspect", "pp", "--format", "{{json .NetworkSettings.Networks}}");
      const ip = /192\.200\.\d+\.\d+/.exec(shown.stdout)?.[0];
      expect(ip, shown.stdout).toBeDefined();
      expect(await ping(ip ?? "")).toBe(0);
    } finally {
      await podman("rm", "-f", "-t", "0", "pp");
    }
    // DEL is called by the clean-up process of podman's monitor, which may still be at work when `podman rm` has returned.
    await expect.poll(left, { timeout: 20_000, interval: 100 }).toBe("");
    expect(await readdir(join(dir, "run"))).toContain("cni.sock");
  });
});

test("bandwidth chained after: limits are on the host's end of our pair, and go with it", async () => {
  await node.podNetns("bw");
  const added = await node.cni({ pod: "bw" });
  const conf = { type: "bandwidth", ingressRate: 1_000_000, ingressBurst: 1_000_000, prevResult: added.json };
  const limited = await node.plugin("bandwidth", { pod: "bw", conf });
  expect(limited.exit, limited.stdout).toBe(0);
  expect((await node.inNode("tc", "qdisc", "show")).stdout).toMatch(/tbf .*dev cali/);
  await node.plugin("bandwidth", { pod: "bw", conf, command: "DEL" });
  expect(await node.cni({ pod: "bw", command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await left()).toBe("");
});

test("tuning chained after: takes our result, and its settings are in the pod", async () => {
  await node.podNetns("tu");
  const added = await node.cni({ pod: "tu" });
  const conf = { type: "tuning", sysctl: { "net.core.somaxconn": "512" }, prevResult: added.json };
  const tuned = await node.plugin("tuning", { pod: "tu", conf });
  expect(tuned.json?.["ips"], tuned.stdout).toEqual(added.json?.["ips"]);
  const value = await node.inNode("nsenter", `--net=/run/netns/${node.ns}-tu`, "sysctl", "-n", "net.core.somaxconn");
  expect(value.stdout.trim()).toBe("512");
  expect(await node.cni({ pod: "tu", command: "DEL" })).toMatchObject({ exit: 0 });
});

test("loopback before: our ADD does not mind what is in the namespace", async () => {
  await node.podNetns("lo");
  const lo = { pod: "lo", env: { CNI_IFNAME: "lo" }, conf: { type: "loopback", name: "lo" } };
  expect(await node.plugin("loopback", lo)).toMatchObject({ exit: 0 });
  expect(await node.cni({ pod: "lo" })).toMatchObject({ exit: 0 });
  expect(await node.cni({ pod: "lo", command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await node.plugin("loopback", { ...lo, command: "DEL" })).toMatchObject({ exit: 0 });
});
