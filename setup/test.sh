#!/usr/bin/env bash
# Every test: set-up, then unit tests, tests against real daemons and the kernel, shell checks. The last line is "N passed, N failed".
#   test.sh                       all
#   test.sh unit e2e -- packages/felix   some suites, some paths
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
"$here/setup.sh" --test </dev/null
source "$here/lib.sh"
exec "$node24" "$root/tools/testrun/src/main.ts" "$@" </dev/null
