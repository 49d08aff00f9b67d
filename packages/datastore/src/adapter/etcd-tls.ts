/** Where the client's certificates come from: text, or files that are read again when they change. */
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";

export interface EtcdTls {
  /** PEM text. `cert` and `key` together authenticate this client. */
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface EtcdTlsFiles {
  readonly caFile: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface TlsSource {
  /** Throws if the files cannot be read, or do not fit together. */
  load(): EtcdTls;
  /** Whether the files are others than when they were last loaded. */
  changed(): boolean;
}

export function makeTlsSource(tls: EtcdTls | EtcdTlsFiles): TlsSource {
  if ("ca" in tls) return { load: () => tls, changed: () => false };
  const files = [tls.caFile, tls.certFile, tls.keyFile].filter((file) => file !== undefined);
  let loaded = "";
  return {
    load() {
      // The stamp first: what is replaced while it is read counts as changed.
      loaded = stampOf(files);
      const pair = { ...(tls.certFile && { cert: read(tls.certFile) }), ...(tls.keyFile && { key: read(tls.keyFile) }) };
      const pem = { ca: read(tls.caFile), ...pair };
      try {
        createSecureContext(pem);
      } catch (cause) {
        throw new Error(`Cannot use the certificates ${files.join(", ")}: ${cause instanceof Error ? cause.message : String(cause)}`, {
          cause,
        });
      }
      return pem;
    },
    changed: () => stampOf(files) !== loaded,
  };
}

function read(file: string): string {
  return readFileSync(file, "utf8");
}

/** A missing file is a state of its own: it is being replaced. */
function stampOf(files: readonly string[]): string {
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
    })
    .join("\n");
}
