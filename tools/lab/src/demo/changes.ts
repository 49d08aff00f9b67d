import type { Applied } from "@calico/model";
import { openLabeller } from "./labels.ts";
import { table } from "./show.ts";
import { type Check, connectivityChecks, type Outcome, runCheck, wget } from "./checks.ts";
import { PORTS } from "../domain/topology.ts";
import type { Lab } from "../service/lab.ts";
import { followApplied } from "./applied.ts";

interface Change {
  readonly title: string;
  readonly label: readonly [pod: string, key: string, value: string | null];
  readonly then: readonly Check[];
}

const WITHIN_MS = 10_000;

/** Change labels as a person would, and measure how long each change took from its commit in the API to the kernels that it concerns. */
export async function labelChanges(lab: Lab): Promise<readonly Outcome[]> {
  await using applied = await followApplied(lab.endpoints.nats, lab.environment);
  using labeller = openLabeller(lab);
  const outcomes: Outcome[] = [];
  const rows: string[][] = [];
  for (const change of changes(lab)) {
    const sent = await labeller.set(...change.label);
    const results: Outcome[] = [];
    for (const check of change.then) results.push(await runCheck(check, WITHIN_MS));
    outcomes.push(...results);
    const held = results.map(
      ({ ok, check, got }) =>
        `${ok ? "\u001b[32m✔\u001b[0m" : "\u001b[31m✘\u001b[0m"} ${check.name}: ${check.want}${ok ? "" : ` (${got})`}`,
    );
    rows.push([change.title, held.join("\n"), describeApplied(await applied.changesSince(sent, { withinMs: 3000 }), sent)]);
  }
  console.log(table(["change", "then", "in the kernel after (felix)"], rows));
  console.log("Times run from the request to the API until felix reported that the kernel holds the change.");
  return outcomes;
}

function changes(lab: Lab): readonly Change[] {
  const matrix = connectivityChecks(lab);
  const named = (name: string): Check => {
    const check = matrix.find((c) => c.name === name);
    if (check === undefined) throw new Error(`no check is called "${name}"`);
    return check;
  };
  const outside = (want: Check["want"]): Check => ({
    name: "client-2 → outside",
    from: "client-2",
    to: "outside",
    want,
    try: () => lab.podExec("default/client-2", wget(`http://${lab.topology.gatewayIp}:${PORTS.outsideWeb}/`)),
  });
  const denied = named("policy denies");
  const web: Check = { ...named("name → Service"), name: "client-2 → web by name" };
  return [
    {
      title: "client-1 gets access=granted",
      label: ["client-1", "access", "granted"],
      then: [{ ...denied, name: "client-1 → db", want: "allowed", answer: /pod=db/ }],
    },
    { title: "client-1 loses it", label: ["client-1", "access", null], then: [{ ...denied, name: "client-1 → db" }] },
    {
      title: "client-2 gets role=restricted (Calico policy, egress)",
      label: ["client-2", "role", "restricted"],
      then: [outside("denied"), web],
    },
    { title: "client-2 loses it", label: ["client-2", "role", null], then: [outside("allowed")] },
  ];
}

function describeApplied(reports: readonly Applied[], sent: number): string {
  if (reports.length === 0) return "no report came";
  const line = (r: Applied) => {
    const { busMs, calcMs, kernelMs } = r.stages;
    return `${r.node}: ${Date.parse(r.at) - sent} ms (bus ${busMs.toFixed(0)}, calc ${calcMs.toFixed(1)}, kernel ${kernelMs.toFixed(0)})`;
  };
  return reports.map(line).join("\n");
}
