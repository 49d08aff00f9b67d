import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The files of one certificate. */
export interface TestCertificate {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority in a temporary folder, by openssl. */
export interface TestPki extends Disposable {
  readonly dir: string;
  readonly ca: string;
  /** A certificate for 127.0.0.1 alone, for servers and clients alike. The same name again replaces its files. */
  issue(name: string): TestCertificate;
}

export function makeTestPki(authority = "calico-test"): TestPki {
  const dir = mkdtempSync(join(tmpdir(), `calico-pki-${process.pid}-`));
  const at = (file: string) => join(dir, file);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", at("ca.key"), "-out", at("ca.crt"), "-days", "2", "-subj", `/CN=${authority}`);
  writeFileSync(at("ext"), "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  return {
    dir,
    ca: at("ca.crt"),
    issue(name) {
      const [cert, keyFile, csr] = [at(`${name}.crt`), at(`${name}.key`), at(`${name}.csr`)];
      openssl("req", ...key, "-keyout", keyFile, "-out", csr, "-subj", `/CN=${name}`);
      const authorityFiles = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial"];
      openssl("x509", "-req", "-in", csr, ...authorityFiles, "-extfile", at("ext"), "-out", cert, "-days", "1");
      return { ca: at("ca.crt"), cert, key: keyFile };
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}
