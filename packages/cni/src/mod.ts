/** The CNI plugin. Other packages need of it only how to speak with the agent. */
export { decodeAnswer, encodeRequest, type Answer } from "./domain/frame.ts";
export { statusFileName, workloadOf, type Workload } from "./domain/workload.ts";
export { CODES, type ErrorObject } from "./domain/fault.ts";
