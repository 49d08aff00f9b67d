/**
 * Our own restart: until every peer has told its table again (or time is up), routes that the kernel kept from our
 * former life stay, and our OPENs say that we restarted.
 *
 * Source: RFC 4724 §4.1 (Restarting Speaker: Selection_Deferral_Timer).
 */
export interface RestartTracker {
  readonly restarting: boolean;
  /** The peers that are to be waited for; those that go are waited for no longer. */
  expect(peers: readonly string[]): void;
  /** The peer's table is complete, or it will not say when it is. */
  settled(peer: string): void;
  /** Time is up. */
  expire(): void;
  waitingFor(): readonly string[];
}

export function makeRestartTracker(): RestartTracker {
  const settled = new Set<string>();
  let expected: ReadonlySet<string> | undefined;
  let over = false;
  const waiting = () => (expected === undefined ? [] : [...expected].filter((peer) => !settled.has(peer)));
  const check = () => {
    if (expected !== undefined && waiting().length === 0) over = true;
  };
  return {
    get restarting() {
      return !over;
    },
    expect(peers) {
      expected = new Set(peers);
      check();
    },
    settled(peer) {
      settled.add(peer);
      check();
    },
    expire() {
      over = true;
    },
    waitingFor: () => (over ? [] : waiting()),
  };
}
