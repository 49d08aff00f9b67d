#!/usr/bin/env bash
# Is the tree fit to commit? Format, lint with module boundaries, types, unit tests. Under a minute; needs neither root nor Debian packages.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_npm_packages || exit 1
cd "$root" || exit 1
export NX_DAEMON=false NX_TUI=false CI=${CI:-true} FORCE_COLOR=0
bin=$root/node_modules/.bin
logs=$(mktemp -d) && trap 'rm -rf "$logs"' EXIT
started=$SECONDS

format() { "$node24" "$bin/prettier" --check --log-level warn .; }
types() { "$node24" "$bin/tsc" -p tsconfig.json; }
# The nx rule warns and passes when no project graph is cached: make one first, and take the warning for a failure.
lint() {
  "$node24" "$bin/nx" graph --file="$logs/graph.json" >"$logs/graph" 2>&1 || { cat "$logs/graph"; return 1; }
  "$node24" "$bin/eslint" --max-warnings 0 . >"$logs/eslint" 2>&1
  local code=$?
  cat "$logs/eslint"
  if grep -q "The rule will be skipped" "$logs/eslint"; then echo "the module boundaries were not checked: nx has no project graph"; return 1; fi
  return $code
}
unit() { "$node24" tools/testrun/src/main.ts unit; }

# One part: output kept, its outcome and seconds on a line.
part() {
  local name=$1 began=$SECONDS outcome=ok
  "$name" >"$logs/$name.log" 2>&1 </dev/null || outcome=FAILED
  printf '%s\n' "$outcome" >"$logs/$name.outcome"
  say "$(printf 'ok: %-7s %-6s %3d s' "$name" "$outcome" $((SECONDS - began)))"
}

# Two lanes: the unit tests, which use both cores, begin while the last of the others runs.
(part format; part types) & (part lint; part unit) & wait

failed=()
for name in format types lint unit; do
  [[ $(cat "$logs/$name.outcome") = ok ]] && continue
  failed+=("$name")
  printf '\n== %s\n' "$name"
  cat "$logs/$name.log"
done
printf '\nunit tests: %s\n' "$(tail -n 1 "$logs/unit.log")"
if ((${#failed[@]} > 0)); then printf 'not ok: %s (%d s)\n' "${failed[*]}" $((SECONDS - started)); exit 1; fi
printf 'ok: format, types, lint, unit (%d s)\n' $((SECONDS - started))
