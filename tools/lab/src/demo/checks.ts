import { exec, type Ran } from "../adapter/exec.ts";
import { NETWORK, PORTS } from "../domain/topology.ts";
import type { Lab } from "../service/lab.ts";

/** One line of the connectivity matrix: something to try, and what must come of it. */
export interface Check {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly want: "allowed" | "denied";
  /** What the answer must contain, where the answer tells more than that there is one. */
  readonly answer?: RegExp;
  readonly try: () => Promise<Ran>;
}

export interface Outcome {
  readonly check: Check;
  readonly ok: boolean;
  readonly got: string;
  readonly ms: number;
}

// Not wget's own -T: Debian 12's busybox ends with a segmentation fault on it.
export const wget = (url: string): readonly string[] => ["timeout", "2", "busybox", "wget", "-q", "-O", "-", url];

/** The matrix of the demonstration, as the pods stand after the manifests: client-2 is labelled access=granted, client-1 is not. */
export function connectivityChecks(lab: Lab): readonly Check[] {
  const [node1] = lab.topology.nodes;
  const ip = (pod: string) => lab.pod(`default/${pod}`)?.ips[0] ?? "0.0.0.0";
  const inside = (pod: string, argv: readonly string[]) => () => lab.podExec(`default/${pod}`, argv);
  const fetch = (name: string, from: string, to: string, url: string, answer: RegExp): Check => ({
    name,
    from,
    to,
    want: "allowed",
    answer,
    try: inside(from, wget(url)),
  });
  const refused = (name: string, from: string, to: string, url: string): Check => ({
    name,
    from,
    to,
    want: "denied",
    try: inside(from, wget(url)),
  });
  const web = "web 10.96.100.10";
  const gateway = lab.topology.gatewayIp;
  return [
    fetch("same node", "client-1", "web-1", `http://${ip("web-1")}/`, /pod=web-1 .*client=192\.200\./),
    fetch("across nodes", "client-1", "web-2", `http://${ip("web-2")}/`, /pod=web-2 .*client=192\.200\./),
    fetch("across nodes, back", "client-2", "web-1", `http://${ip("web-1")}/`, /pod=web-1/),
    {
      name: "ping across nodes",
      from: "client-1",
      to: "client-2",
      want: "allowed",
      try: inside("client-1", ["busybox", "ping", "-c", "1", "-W", "2", ip("client-2")]),
    },
    fetch("pod → Service VIP", "client-1", web, "http://10.96.100.10/", /pod=web-/),
    fetch("name → Service", "client-2", "web.default.svc", "http://web.default.svc.cluster.local/", /pod=web-/),
    {
      name: "node → Service VIP",
      from: "node1",
      to: web,
      want: "allowed",
      answer: /pod=web-/,
      try: () => exec(wget("http://10.96.100.10/"), { netns: node1?.netns ?? "" }),
    },
    {
      name: "hostPort (portmap)",
      from: "outside",
      to: "10.0.2.6:8080",
      want: "allowed",
      answer: /pod=web-1/,
      try: () => exec(wget(`http://${node1?.lanIp}:8080/`), { netns: lab.topology.outsideNetns }),
    },
    fetch(
      "outgoing NAT",
      "client-1",
      `outside ${gateway}`,
      `http://${gateway}:${PORTS.outsideWeb}/`,
      new RegExp(`client=${node1?.lanIp}\\b`),
    ),
    fetch("policy allows", "client-2", "db", `http://${ip("db")}/`, /pod=db/),
    refused("policy denies", "client-1", "db", `http://${ip("db")}/`),
    refused("policy denies, by VIP", "client-1", "db 10.96.100.20", "http://10.96.100.20/"),
  ];
}

/** The kernel's routing table against the seed's, line by line, each node. */
export function routeChecks(lab: Lab, tables: ReadonlyMap<string, string>): readonly Check[] {
  const nodes = lab.topology.nodes;
  return nodes.flatMap((node) => {
    const table = tables.get(node.name) ?? "";
    const line = (name: string, to: string, pattern: RegExp): Check => ({
      name,
      from: node.name,
      to,
      want: "allowed",
      answer: pattern,
      try: async () => ({ code: 0, stdout: table, stderr: "", ms: 0 }),
    });
    const peer = nodes.find((n) => n !== node);
    const by = { ipip: "tunl0", vxlan: "vxlan\\.calico", none: NETWORK.bgp.device }[lab.encap];
    const block = "192\\.200\\.\\d+\\.\\d+/26";
    // VXLAN's next hop is the peer's tunnel address; the others' is the peer itself.
    const via = lab.encap === "vxlan" ? "192\\.200\\.\\d+\\.\\d+" : (peer?.bgpIp.replaceAll(".", "\\.") ?? "");
    return [
      line("route: own block", "blackhole", new RegExp(`^blackhole ${block} proto (calico-bgp|179)`, "m")),
      line("route: local pod", "/32 on cali…", /^192\.200\.\d+\.\d+ dev cali[0-9a-f]{11} .*scope link/m),
      ...(peer === undefined
        ? []
        : [line("route: peer's block", `via ${peer.bgpIp}`, new RegExp(`^${block} via ${via} dev ${by} proto (calico|80|179)`, "m"))]),
    ];
  });
}

// The client says that nothing answered, or `timeout` ended it. Anything else is a client that could not be run.
const NO_ANSWER: ReadonlySet<number> = new Set([1, 124]);

/** Try until it is as wanted, for at most `withinMs`: what has just been applied takes a moment. A denial must hold at once. */
export async function runCheck(check: Check, withinMs: number): Promise<Outcome> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const ran = await check.try();
    const answered = ran.code === 0 && (check.answer?.test(ran.stdout) ?? true);
    const ok = check.want === "allowed" ? answered : NO_ANSWER.has(ran.code);
    if (ok || performance.now() > deadline) return { check, ok, got: describe(check, ran, ok), ms: ran.ms };
  }
}

function describe(check: Check, ran: Ran, ok: boolean): string {
  const said = check.answer === undefined ? "" : (check.answer.exec(ran.stdout)?.[0] ?? ran.stdout.trim().slice(0, 200));
  if (ran.code === 0) return said === "" ? "answered" : said;
  const words = ran.stderr.trim().split("\n").at(-1) ?? "";
  return ok && check.want === "denied"
    ? `no answer${words === "" ? "" : ` (${words.replace(/^wget: /, "")})`}`
    : `exit ${ran.code}: ${words}`;
}
