export { type Topology, planTopology } from "./domain/topology.ts";
export { type Lab, type LabOptions, openLab, root } from "./service/lab.ts";
export { bringUpDemo } from "./demo/demo.ts";
export { type Labeller, openLabeller } from "./demo/labels.ts";
export { followApplied, type AppliedLog } from "./demo/applied.ts";
export { type Check, connectivityChecks, type Outcome, routeChecks, runCheck } from "./demo/checks.ts";
export { readProcesses, type ProcessRow } from "./demo/processes.ts";
