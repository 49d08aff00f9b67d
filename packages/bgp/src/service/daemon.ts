/**
 * The daemon's loop: bus events into the world, the world into a plan, the plan to the speaker. Nothing before in-sync;
 * a lost bus changes nothing.
 */
import type { FeedEvent } from "@calico/bus";
import type { Logger } from "@calico/daemon";
import { formatFieldErrors } from "@calico/model";
import { derivePlan } from "../domain/config/plan.ts";
import type { SpeakerSettings } from "../domain/config/plan.ts";
import { makeWorld } from "../domain/config/world.ts";
import type { Recorder } from "./recorder.ts";
import type { Speaker } from "./speaker.ts";

export type DaemonOptions = {
  readonly settings: SpeakerSettings;
  readonly feed: AsyncIterable<readonly FeedEvent[]>;
  readonly speaker: Speaker;
  readonly recorder: Recorder;
  readonly log: Logger;
  readonly signal: AbortSignal;
};

export async function runDaemon({ settings, feed, speaker, recorder, log, signal }: DaemonOptions): Promise<void> {
  const { world, take } = makeWorld(settings.node);
  let inSync = false;
  let dirty = false;

  function takeEvent(event: FeedEvent): void {
    if (event.kind === "inSync") {
      dirty ||= !inSync;
      inSync = true;
      return;
    }
    const { changed, rejected } = take(event);
    dirty ||= changed;
    if (rejected === undefined) return;
    recorder.rejected(event.ref.ref.kind);
    log.error("object is not valid and counts as absent", { key: rejected.key, why: formatFieldErrors(rejected.errors) });
  }

  await speaker.start(signal);
  for await (const batch of feed) {
    if (signal.aborted) return;
    batch.forEach(takeEvent);
    recorder.took(batch.at(-1)?.revision ?? 0, inSync, batch);
    if (!inSync || !dirty) continue;
    dirty = false;
    const plan = derivePlan(world, settings);
    recorder.planned();
    speaker.setPlan(plan);
  }
}
