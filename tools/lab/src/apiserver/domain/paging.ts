import { badRequest } from "./api-error.ts";

/** Where a paged list goes on: after this key, as of this revision. */
export interface Continuation {
  readonly revision: number;
  readonly after: string;
}

export function encodeContinue(c: Continuation): string {
  return btoa(encodeURIComponent(JSON.stringify({ v: 1, rv: c.revision, after: c.after })));
}

export function decodeContinue(token: string): Continuation {
  try {
    const value = JSON.parse(decodeURIComponent(atob(token))) as { v?: unknown; rv?: unknown; after?: unknown };
    if (value.v === 1 && typeof value.rv === "number" && typeof value.after === "string") return { revision: value.rv, after: value.after };
  } catch {
    // falls through to the one error below: whatever is wrong with it, the client made it up
  }
  throw badRequest("the continue parameter was not issued by this server");
}
