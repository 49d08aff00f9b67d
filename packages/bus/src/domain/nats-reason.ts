/** A server's refusal of our certificate, as OpenSSL and as rustls put it. */
function isCertificateRefusal(error: unknown): boolean {
  return error instanceof Error && /alert.*(certificate|unknown.?ca)|handshake failure/i.test(error.message);
}

/** A server does not let this login in, at first or when its time is over, or nobody more. Source: nats-server's `-ERR` texts. */
export function isTurnedAway(error: unknown): boolean {
  return error instanceof Error && (LOGIN_REFUSAL.test(error.message) || /maximum .*connections exceeded/i.test(error.message));
}

const LOGIN_REFUSAL = /authorization violation|authentication (expired|revoked|timeout)/i;

export function isRefusal(error: unknown): boolean {
  return isCertificateRefusal(error) || isTurnedAway(error);
}

/** Why a connection to NATS failed, and what to do about it where it is ours to do. */
export function reasonOf(error: unknown): string {
  const texts = [error, (error as { cause?: unknown } | undefined)?.cause].filter((e) => e instanceof Error).map(({ message }) => message);
  const text = texts
    .join(": ")
    .trim()
    .replace(/\b[0-9A-F]{8,}:(?=error:)/g, ""); // OpenSSL's thread
  if (/unable to verify|self.signed|UnknownIssuer|unable to get/i.test(text))
    return `the server's certificate was not issued by the authority in --nats-ca (${text})`;
  if (isCertificateRefusal(error)) return `the server refused this client's certificate; see --nats-cert and --nats-key (${text})`;
  if (/EPIPE|ECONNRESET|EPERM/.test(text))
    return `the server hung up; where it does so at once over TLS, it may not accept this client's certificate: see --nats-cert (${text})`;
  if (/altname/i.test(text)) return `the server's certificate is not for a host of --nats (${text})`;
  if (LOGIN_REFUSAL.test(text)) return `the server refused the login; see --nats-user, --nats-password-file, --nats-creds (${text})`;
  return text;
}
