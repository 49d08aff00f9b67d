import { expect, test } from "vitest";
import { makeLag } from "./lag.ts";

/** `b5@1000` a heartbeat with revision 5, `r5@1000` reached, `c@1000` known to be current, `x` a new session. */
function play(script: string) {
  const lag = makeLag(0);
  for (const word of script.split(" ").filter((w) => w !== "")) {
    const [, what, revision, at] = /^([bcrx])(\d*)@?(\d*)$/.exec(word)!;
    if (what === "b") lag.beat(Number(revision), Number(at));
    else if (what === "r") lag.reached(Number(revision), Number(at));
    else if (what === "c") lag.current(Number(at));
    else lag.restart();
  }
  return lag;
}

test.for([
  { name: "before anything it counts from the start", script: "", at: 4000, lagMs: 4000, behind: undefined },
  { name: "a heartbeat that was reached before", script: "r7@900 b7@1000", at: 1300, lagMs: 300, behind: 0 },
  { name: "a change just after its heartbeat: current as of the heartbeat", script: "b7@1000 r7@1010", at: 1300, lagMs: 300, behind: 0 },
  { name: "behind", script: "r7@900 b7@1000 b9@2000 r8@2100", at: 2500, lagMs: 1500, behind: 1 },
  { name: "no heartbeat for long is lag too", script: "r7@900 b7@1000", at: 9000, lagMs: 8000, behind: 0 },
  { name: "known from elsewhere", script: "c@8000", at: 8100, lagMs: 100, behind: undefined },
  { name: "a new session has reached nothing yet", script: "r7@900 b7@1000 x b7@2000", at: 2000, lagMs: 1000, behind: 7 },
])("lag: $name", ({ script, at, lagMs, behind }) => {
  const lag = play(script);
  expect({ lagMs: lag.lagMs(at), behind: lag.behindRevisions }).toEqual({ lagMs, behind });
});

test.for([
  { name: "none", script: "", at: 100, steady: 0 },
  { name: "since the first", script: "b1@1000 b1@2000 b1@3000", at: 3500, steady: 2500 },
  { name: "a pause starts over", script: "b1@1000 b1@2000 b1@8000", at: 8500, steady: 500 },
  { name: "the last is too old", script: "b1@1000 b1@2000", at: 8000, steady: 0 },
])("lag: heartbeats are steady: $name", ({ script, at, steady }) => {
  expect(play(script).steadyMs(at)).toBe(steady);
});
