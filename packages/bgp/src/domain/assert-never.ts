/** The end of an exhaustive switch: a case that the types say cannot be. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected value ${JSON.stringify(value)}`);
}
