import { expect, test } from "vitest";
import { parseIpsetSave } from "./ipset-save.ts";
import { splitWords } from "./iptables-words.ts";
import { readRefusedLine } from "./restore-error.ts";

const SCRIPT = "*filter\n:cali-a - [0:0]\n-A cali-a -j nowhere\nCOMMIT\n";

test.for<{ name: string; message: string; want: string }>([
  {
    name: "iptables-nft, a chain",
    message: "iptables-nft-restore v1.8.9 (nf_tables): Chain 'nowhere' does not exist\nError occurred at line: 4\nTry …",
    want: "4 COMMIT",
  },
  {
    name: "iptables-nft, a rule",
    message: "iptables-nft-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (No such file or directory): rule in chain cali-a",
    want: "3 -A cali-a -j nowhere",
  },
  { name: "iptables-legacy", message: "iptables-restore: line 4 failed", want: "4 COMMIT" },
  { name: "ipset", message: "ipset v7.17: Error in line 2: The set with the given name does not exist", want: "2 :cali-a - [0:0]" },
  { name: "no line", message: "iptables-restore: Permission denied (you must be root)", want: "none" },
  { name: "a line past the end", message: "line 99 failed", want: "none" },
])("readRefusedLine: $name", ({ message, want }) => {
  const found = readRefusedLine(message, SCRIPT);
  expect(found ? `${found.line} ${found.text}` : "none").toBe(want);
});

test("parseIpsetSave: sets, options, members with options of their own", () => {
  const text = [
    "create cali40a hash:net family inet hashsize 1024 maxelem 1048576 timeout 60 bucketsize 12 initval 0x1234",
    "create ports bitmap:port range 0-65535",
    "add cali40a 10.0.0.0/24 timeout 30",
    "add cali40a 10.0.0.1 nomatch",
    "add ports 80",
    "",
  ].join("\n");
  expect(parseIpsetSave(text)).toEqual([
    { name: "cali40a", type: "hash:net", family: "inet", maxelem: 1048576, members: ["10.0.0.0/24", "10.0.0.1"] },
    { name: "ports", type: "bitmap:port", members: ["80"] },
  ]);
  expect(() => parseIpsetSave("add nosuch 10.0.0.1\n")).toThrow(/Cannot parse ipset listing/);
});

test("splitWords: quotes group, backslashes escape inside them", () => {
  expect(splitWords('-A x -m comment --comment "a \\"b\\" -j c" -j DROP')).toEqual([
    "-A",
    "x",
    "-m",
    "comment",
    "--comment",
    'a "b" -j c',
    "-j",
    "DROP",
  ]);
});
