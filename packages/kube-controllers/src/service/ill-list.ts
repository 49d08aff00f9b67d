import type { Metrics } from "@calico/daemon";

/** Where an object did not fit: in its conversion, or in the datastore. */
type Stage = "converted" | "refused";

/** The objects of a controller that are not as they are to be, each with what is wrong with it, and their number as a metric. */
export interface IllList {
  readonly size: number;
  set(stage: Stage, key: string, problem: string | undefined): void;
  first(count: number): readonly string[];
}

export function makeIllList(controller: string, metrics: Pick<Metrics, "set">): IllList {
  const found: Readonly<Record<Stage, Map<string, string>>> = { converted: new Map(), refused: new Map() };
  const size = () => found.converted.size + found.refused.size;
  return {
    get size() {
      return size();
    },
    set(stage, key, problem) {
      const before = size();
      if (problem === undefined) found[stage].delete(key);
      else found[stage].set(key, problem);
      if (size() !== before) metrics.set("kube_controllers_objects_with_problems", size(), { controller });
    },
    first: (count) => [...found.converted, ...found.refused].slice(0, count).map(([key, problem]) => `${key}: ${problem}`),
  };
}
