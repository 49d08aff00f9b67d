/** The continuous check of addresses: follows the records, keeps the counts as metrics, and says what is wrong, once each. */
import { type KubeObject, RESOURCES } from "@calico/kube-client";
import { pause } from "@calico/daemon";
import { prefixOf } from "@calico/model";
import { makeAudit } from "../domain/ipam-audit.ts";
import { kubeNameOfRecord } from "../domain/ipam-gc-census.ts";
import { namedFacts } from "../domain/facts.ts";
import type { Controller, ControllerPorts, ControllerStatus } from "../ports.ts";
import { follow } from "./follow.ts";
import { followMachines } from "./follow-machines.ts";
import { followStore } from "./follow-store.ts";
import { podLook, poolsOf } from "./ipam-gc-look.ts";

const NAME = "ipam-audit";
/** Records are watched one by one: a block may be heard of before or after the endpoint that has its address. */
const STANDING_MS = 10_000;
const TICK_MS = 1000;
/** More findings than this in a health answer help nobody. */
const SHOWN = 20;

export interface AuditStatus extends ControllerStatus {
  readonly owned: number;
  readonly unowned: number;
  readonly exempt: number;
}

type AuditPorts = Omit<ControllerPorts, "datastore" | "reconcileMs">;

export interface IpamAudit extends Controller {
  status(): AuditStatus;
  /** Judge what has changed, and say what came of it. */
  tick(): void;
}

/** `overdueMs`: for so long the collector may take with an address that has no owner. */
export function makeIpamAudit(given: AuditPorts, { overdueMs }: { readonly overdueMs: number }): IpamAudit {
  const ports = given as ControllerPorts;
  const audit = makeAudit();
  const waiting = new Set(["pools", "blocks", "endpoints", "calico nodes", "pods", "nodes"]);
  const said = new Set<string>();
  let problems: readonly string[] = [];
  let found = 0;

  function tick(): void {
    if (waiting.size > 0) return;
    const nowMs = ports.clock();
    audit.settle(nowMs);
    const findings = audit.findings({ nowMs, overdueMs, standingMs: STANDING_MS });
    const texts = findings.map((f) => f.text);
    for (const { kind, text, ip, sinceMs } of findings) {
      if (said.has(text)) continue;
      const message = kind === "overdue" ? "address without an owner not released" : "address records contradict each other";
      ports.log.warn(message, { ip, since: new Date(sinceMs).toISOString(), text });
    }
    said.clear();
    for (const text of texts) said.add(text);
    problems = texts.slice(0, SHOWN);
    found = texts.length;
    show(findings.filter((f) => f.kind === "overdue").length);
  }

  function show(overdue: number): void {
    const { owned, unowned, exempt } = audit.counts();
    for (const [state, count] of Object.entries({ owned, unowned, exempt })) ports.metrics.set("ipam_audit_addresses", count, { state });
    ports.metrics.set("ipam_addresses_without_owner", overdue);
    ports.metrics.set("ipam_contradictions", found - overdue);
  }

  const store = (what: string, kind: Parameters<typeof prefixOf>[0], onRecord: Parameters<typeof followStore>[2]["onRecord"]) =>
    followStore(ports, NAME, { prefix: prefixOf(kind), onRecord, onListed: () => void waiting.delete(what) });

  async function followPools(): Promise<void> {
    const records = new Map<string, string>();
    await store("pools", "IPPool", (key, record) => {
      if (record === undefined) records.delete(key);
      else records.set(key, record.value);
      audit.setPools(poolsOf([...records.values()].map((value) => ({ value }))));
    });
  }

  async function followPods(): Promise<void> {
    const project = (o: KubeObject) => ({ look: podLook(o), revision: o.metadata.resourceVersion ?? "" });
    for await (const event of follow(ports, NAME, { resource: RESOURCES.pods, project })) {
      if (event.kind === "inSync") waiting.delete("pods");
      else audit.setPod(event.key, event.kind === "deleted" ? undefined : event.object.look, event.object.revision);
    }
  }

  async function followNodes(): Promise<void> {
    const project = (o: KubeObject) => ({ ...namedFacts(o), revision: o.metadata.resourceVersion ?? "" });
    for await (const event of follow(ports, NAME, { resource: RESOURCES.nodes, project })) {
      if (event.kind === "inSync") waiting.delete("nodes");
      else audit.setKubeNode(event.key, event.kind !== "deleted", event.object.revision);
    }
  }

  async function tickOften(): Promise<void> {
    while (!ports.signal.aborted) {
      await pause(TICK_MS, ports.signal);
      tick();
    }
  }

  return {
    name: NAME,
    tick,
    status: () => ({ inSync: waiting.size === 0, pending: 0, failing: found, problems, ...audit.counts() }),
    run: async () =>
      void (await Promise.all([
        followPools(),
        store("blocks", "IPAMBlock", audit.setBlock),
        store("endpoints", "WorkloadEndpoint", audit.setEndpoint),
        store("calico nodes", "Node", (key, record) => {
          const [host, kubeNode] = kubeNameOfRecord(record ?? { key, value: "" });
          audit.setCalicoNode(host, record === undefined ? undefined : { kubeNode });
        }),
        ...[followPods(), followNodes(), followMachines(ports, audit), tickOften()],
      ])),
  };
}
