import type { LogWriter, Publication } from "../ports.ts";

/** Sends in order with a bounded number of messages on the way. The first failure is thrown by the next call. */
export interface Pipeline {
  send(publication: Publication, onStored: (seq: number) => void): Promise<void>;
  /** Wait until all that was sent is stored. */
  drain(): Promise<void>;
  /** The revision of the newest stored message. */
  readonly publishedRevision: number;
}

export function makePipeline(
  writer: Pick<LogWriter, "append">,
  options: { readonly limit: number; readonly onPublished: (publication: Publication) => void },
): Pipeline {
  const onTheWay = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;
  let publishedRevision = 0;
  const rethrow = () => {
    if (failed !== undefined) throw failed.error;
  };
  return {
    get publishedRevision() {
      return publishedRevision;
    },
    async send(publication, onStored) {
      rethrow();
      while (onTheWay.size >= options.limit) await Promise.race(onTheWay);
      rethrow();
      const stored = writer.append(publication).then(
        (seq) => {
          publishedRevision = Math.max(publishedRevision, publication.revision);
          onStored(seq);
          options.onPublished(publication);
        },
        (error: unknown) => void (failed ??= { error }),
      );
      onTheWay.add(stored);
      void stored.then(() => onTheWay.delete(stored));
    },
    async drain() {
      await Promise.all(onTheWay);
      rethrow();
    },
  };
}
