import { pause } from "@calico/daemon";
import type { Clock } from "../ports.ts";

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  timestamp: () => new Date().toISOString(),
  pause,
};
