/** What encoding needs to know of the machine: numbers for names. Either throws if there is none. */
export interface Resolve {
  /** Index of the device of that name. */
  index(link: string): number;
  /** An open descriptor of that namespace, valid until the message is sent. */
  netnsFd(path: string): number;
}

/** Device name of an index; undefined if it is gone. */
export type NameOf = (index: number) => string | undefined;
