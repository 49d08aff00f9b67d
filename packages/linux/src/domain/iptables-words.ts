/** An iptables line as its words. Double quotes group; inside them a backslash escapes, as iptables-save writes comments. */

/** The words of a line; a quoted word keeps its content, without the quotes. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
    words.push(match[1] === undefined ? (match[2] ?? "") : match[1].replace(/\\(.)/g, "$1"));
  }
  return words;
}

/** The words after an option, of every time it occurs. */
export function valuesAfter(words: readonly string[], ...options: readonly string[]): string[] {
  return words.flatMap((word, i) => (options.includes(word) ? [words[i + 1] ?? ""] : []));
}
