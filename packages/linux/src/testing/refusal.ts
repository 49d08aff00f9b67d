/** The fake kernel's way to say no. */
import { ERRNO } from "../domain/errno.ts";
import type { FakeLink, FakeNetns } from "./fake-kernel.ts";

export class Refusal extends Error {
  readonly errno: number;
  constructor(errno: number, message = "") {
    super(message);
    this.errno = errno;
  }
}

/** The link of that name, or ENODEV. */
export function theLink(netns: FakeNetns, name: string): FakeLink {
  const link = netns.links.find((l) => l.name === name);
  if (!link) throw new Refusal(ERRNO.ENODEV, `no link ${name}`);
  return link;
}
