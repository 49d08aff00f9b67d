import { IN_FLIGHT } from "../domain/fence.ts";
import type { LogWriter, Publication } from "../ports.ts";

/** Sends in order, a message when the one IN_FLIGHT before it is stored. The first failure is thrown by the next call. */
export interface Pipeline {
  send(publication: Publication, onStored: (seq: number) => void): Promise<void>;
  /** Wait until all that was sent is stored. */
  drain(): Promise<void>;
}

export function makePipeline(writer: Pick<LogWriter, "append">, onPublished: (publication: Publication) => void): Pipeline {
  const slots: Promise<void>[] = Array.from({ length: IN_FLIGHT }, () => Promise.resolve());
  let sent = 0;
  let failed: { readonly error: unknown } | undefined;
  const rethrow = () => {
    if (failed !== undefined) throw failed.error;
  };
  return {
    async send(publication, onStored) {
      const slot = sent++ % IN_FLIGHT;
      await slots[slot];
      rethrow();
      slots[slot] = writer.append(publication).then(
        (seq) => {
          onStored(seq);
          onPublished(publication);
        },
        (error: unknown) => void (failed ??= { error }),
      );
    },
    async drain() {
      await Promise.all(slots);
      rethrow();
    },
  };
}
