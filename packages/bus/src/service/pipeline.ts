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
  let onTheWay = 0;
  let failed: { readonly error: unknown } | undefined;
  let publishedRevision = 0;
  let settled: PromiseWithResolvers<void> | undefined;
  const rethrow = () => {
    if (failed !== undefined) throw failed.error;
  };
  /** Not a race over all that is on the way: that would cost as much per message as there are messages. */
  const below = async (limit: number) => {
    while (onTheWay >= limit) await (settled ??= Promise.withResolvers()).promise;
  };
  const done = () => {
    onTheWay--;
    settled?.resolve();
    settled = undefined;
  };
  return {
    get publishedRevision() {
      return publishedRevision;
    },
    async send(publication, onStored) {
      rethrow();
      await below(options.limit);
      rethrow();
      onTheWay++;
      writer
        .append(publication)
        .then(
          (seq) => {
            publishedRevision = Math.max(publishedRevision, publication.revision);
            onStored(seq);
            options.onPublished(publication);
          },
          (error: unknown) => void (failed ??= { error }),
        )
        .finally(done);
    },
    async drain() {
      await below(1);
      rethrow();
    },
  };
}
