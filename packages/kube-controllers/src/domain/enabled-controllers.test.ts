import { expect, test } from "vitest";
import { enabledControllers } from "./enabled-controllers.ts";

const OURS = ["kubernetes-api", "namespace", "serviceaccount", "policy", "workloadendpoint", "node", "service", "ipam-gc", "loadbalancer"];

test.for([
  { text: "", want: OURS },
  { text: "loadbalancer", want: ["kubernetes-api", "service", "loadbalancer"] },
  { text: " Profile, node", want: ["kubernetes-api", "namespace", "node", "service", "ipam-gc"] },
])("enabledControllers: $text", ({ text, want }) => {
  const enabled = enabledControllers(text);
  expect(enabled.ok && OURS.filter(enabled.value)).toEqual(want);
});

test.for([
  { text: "node,toString", want: "error: Invalid controller 'tostring' provided." },
  { text: "flannelmigration", want: "error: the controller flannelmigration is not supported" },
])("enabledControllers: $text is refused", ({ text, want }) => {
  expect(enabledControllers(text)).toEqual({ ok: false, error: want });
});
