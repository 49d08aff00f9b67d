import { describe, expect, test } from "vitest";
import type { Session } from "../fsm/state.ts";
import { Routing } from "./routing.ts";
import type { PeerRoutingConfig } from "./routing.ts";

const gr = (forwarding = true, restarted = false) => ({ restarted, timeSec: 120, families: [{ family: 4 as const, forwarding }] });

function session(gracefulRestart?: Session["gracefulRestart"]): Session {
  return {
    peerAs: 64512,
    peerRouterId: "10.0.0.2",
    ibgp: true,
    as4: true,
    holdTimeSec: 90,
    keepaliveSec: 30,
    families: [4],
    routeRefresh: true,
    ...(gracefulRestart ? { gracefulRestart } : {}),
  };
}

const config: PeerRoutingConfig = {
  address: "10.0.0.2",
  client: false,
  export: { id: "p", localAs: 64512, ibgp: true, localAddress: "10.0.0.1", nextHopMode: "auto", rrClient: false },
  imports: { localAs: 64512, routerId: "10.0.0.1", localAddresses: ["10.0.0.1"], allowLocalAs: 0 },
};

const announce = (...prefixes: readonly string[]) => ({
  unreach: [],
  reach: [{ family: 4 as const, nextHop: "10.0.0.2", prefixes }],
  attributes: { origin: "igp" as const, asPath: [], localPref: 100 },
});
const END = { unreach: [], reach: [], attributes: {}, endOfRib: 4 as const };

function withRoutes(gracefulRestart: Session["gracefulRestart"], ...prefixes: readonly string[]): Routing {
  const routing = new Routing({ holdEndOfRib: false });
  routing.setExportFilter(() => true);
  routing.sessionUp("p", session(gracefulRestart), config, 0);
  routing.take("p", announce(...prefixes));
  routing.take("p", END);
  routing.flush();
  return routing;
}

const known = (routing: Routing) => [...routing.rib.prefixes()].map((p) => `${p}${routing.rib.best(p)[0]?.stale ? " stale" : ""}`);

describe("Routing: graceful restart", () => {
  test("a lost session keeps routes for the peer's restart time", () => {
    const routing = withRoutes(gr(), "10.1.0.0/26");
    expect(routing.sessionDown("p", true, 0)).toEqual({ do: "start", sec: 120 });
    expect(known(routing)).toEqual(["10.1.0.0/26 stale"]);
    expect(routing.staleExpired("p")).toBe(1);
    expect(known(routing)).toEqual([]);
  });

  test("a peer without the capability keeps none", () => {
    const routing = withRoutes(undefined, "10.1.0.0/26");
    expect(routing.sessionDown("p", true, 0)).toEqual({ do: "clear" });
    expect(known(routing)).toEqual([]);
  });

  test("a loss that is no restart keeps none", () => {
    const routing = withRoutes(gr(), "10.1.0.0/26");
    expect(routing.sessionDown("p", false, 0)).toEqual({ do: "clear" });
    expect(known(routing)).toEqual([]);
  });

  test("End-of-RIB sweeps what was not told again", () => {
    const routing = withRoutes(gr(), "10.1.0.0/26", "10.2.0.0/26");
    routing.sessionDown("p", true, 0);
    expect(routing.sessionUp("p", session(gr(true, true)), config, 1000)).toEqual({ do: "start", sec: 360 });
    routing.take("p", announce("10.1.0.0/26"));
    expect(known(routing).toSorted()).toEqual(["10.1.0.0/26", "10.2.0.0/26 stale"]);
    expect(routing.take("p", END).timer).toEqual({ do: "clear" });
    expect(known(routing)).toEqual(["10.1.0.0/26"]);
  });

  test("a peer whose kernel kept nothing loses its stale routes when it is back", () => {
    const routing = withRoutes(gr(), "10.1.0.0/26");
    routing.sessionDown("p", true, 0);
    expect(routing.sessionUp("p", session(gr(false, true)), config, 1000)).toEqual({ do: "clear" });
    expect(known(routing)).toEqual([]);
  });

  test("a second loss before End-of-RIB drops nothing, and a deadline from the first loss bounds the whole", () => {
    const routing = withRoutes(gr(), "10.1.0.0/26");
    const timers = [routing.sessionDown("p", true, 0)];
    for (let sec = 100; sec <= 500; sec += 100) {
      timers.push(routing.sessionUp("p", session(gr(true, true)), config, sec * 1000), routing.sessionDown("p", true, sec * 1000));
    }
    expect(known(routing)).toEqual(["10.1.0.0/26 stale"]);
    expect(timers.map((timer) => (timer.do === "start" ? timer.sec : timer.do))).toEqual([120, 360, 120, 280, 120, 180, 120, 80, 80, 0, 0]);
  });
});

describe("Routing: telling peers", () => {
  test("first the table, then End-of-RIB, then only what is new", () => {
    const routing = new Routing({ holdEndOfRib: false });
    routing.setExportFilter(() => true);
    routing.setOriginated(new Set(["10.9.0.0/26"]));
    routing.sessionUp("p", session(), config, 0);
    const [first] = routing.flush().outgoing;
    expect(first?.updates.map((u) => u.reach[0]?.prefixes ?? u.endOfRib)).toEqual([["10.9.0.0/26"], 4]);
    expect(routing.flush().outgoing).toEqual([]);
    routing.setOriginated(new Set(["10.8.0.0/26"]));
    const [next] = routing.flush().outgoing;
    expect(next?.updates.map((u) => [u.unreach[0]?.prefixes, u.reach[0]?.prefixes])).toEqual([
      [["10.9.0.0/26"], undefined],
      [undefined, ["10.8.0.0/26"]],
    ]);
  });

  test("route refresh tells all again, without End-of-RIB", () => {
    const routing = new Routing({ holdEndOfRib: false });
    routing.setExportFilter(() => true);
    routing.setOriginated(new Set(["10.9.0.0/26"]));
    routing.sessionUp("p", session(), config, 0);
    routing.flush();
    routing.resend("p", 4);
    expect(routing.flush().outgoing[0]?.updates.map((u) => u.reach[0]?.prefixes)).toEqual([["10.9.0.0/26"]]);
  });

  test("End-of-RIB waits until it is released", () => {
    const routing = new Routing({ holdEndOfRib: true });
    routing.sessionUp("p", session(), config, 0);
    expect(routing.flush().outgoing).toEqual([]);
    routing.releaseEndOfRib();
    expect(routing.flush().outgoing[0]?.updates.map((u) => u.endOfRib)).toEqual([4]);
  });

  test("a filter that changes withdraws what it no longer lets out", () => {
    const routing = new Routing({ holdEndOfRib: false });
    routing.setExportFilter(() => true);
    routing.setOriginated(new Set(["10.9.0.0/26"]));
    routing.sessionUp("p", session(), config, 0);
    routing.flush();
    routing.setExportFilter(() => false);
    expect(routing.flush().outgoing[0]?.updates[0]?.unreach).toEqual([{ family: 4, prefixes: ["10.9.0.0/26"] }]);
  });
});

test.for<{ why: string; attributes: object; nextHop?: string }>([
  { why: "AS path holds our own AS", attributes: { asPath: [{ type: "sequence", ases: [65000, 64512] }] } },
  { why: "we are the originator", attributes: { originatorId: "10.0.0.1" } },
  { why: "next hop is our own address", attributes: {}, nextHop: "10.0.0.1" },
])("Routing.take: refused, and what the peer said before is gone: $why", ({ why, attributes, nextHop = "10.0.0.2" }) => {
  const routing = withRoutes(undefined, "10.1.0.0/26");
  const update = announce("10.1.0.0/26");
  const result = routing.take("p", {
    ...update,
    attributes: { ...update.attributes, ...attributes },
    reach: [{ family: 4, nextHop, prefixes: ["10.1.0.0/26"] }],
  });
  expect(result.refused).toBe(why);
  expect(known(routing)).toEqual([]);
});
