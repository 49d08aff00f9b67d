import { makeMetrics } from "@calico/daemon";
import { expect, test } from "vitest";
import { METRICS } from "../metrics.ts";
import { makeSyncerHealth } from "./syncer-health.ts";

test("the syncer's report names the keys that are passed over, until they are mended or gone", () => {
  const { observer, report } = makeSyncerHealth(makeMetrics(METRICS));
  const refuse = (key: string, revision: number, op: "put" | "delete" = "put") =>
    observer.refused({ op, key, revision, reason: "notJson" });
  expect(report().detail).not.toHaveProperty("passedOver");
  refuse("/calico/a", 5);
  refuse("/calico/b", 6);
  refuse("/calico/a", 7);
  expect(report().detail).toMatchObject({ passedOver: { "/calico/a": "notJson, revision 7", "/calico/b": "notJson, revision 6" } });
  observer.published({ op: "put", key: "/calico/a", revision: 8, subject: "s", data: "{}", seenAt: 0 });
  expect(report().detail).toMatchObject({ passedOver: { "/calico/b": "notJson, revision 6" }, passedOverCount: 1 });
  refuse("/calico/b", 9, "delete");
  expect(report().detail).not.toHaveProperty("passedOver");
  for (let n = 0; n < 5000; n++) refuse(`/calico/${n}`, n);
  expect(report().detail.passedOverCount).toBe(1000);
  expect(Object.keys(report().detail.passedOver ?? {})).toHaveLength(20);
});
