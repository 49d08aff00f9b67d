#!/usr/bin/env bash
# Benchmarks against peers: npm run -s bench -- SUITE [--quick] [--json]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
for word in "$@"; do [[ $word = --help || $word = -h ]] && help=1; done
if [[ -n ${help:-} ]]; then source "$here/lib.sh"; install_npm_packages; else "$here/setup.sh" >&2; fi
exec "$here/run.sh" tools/bench/src/main.ts "$@"
