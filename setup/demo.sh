#!/usr/bin/env bash
# The demonstration: set-up, then a cluster of two nodes on this machine. --help says what it can do.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
for word in "$@"; do [[ $word = --help || $word = -h ]] && help=1; done
if [[ -n ${help:-} ]]; then source "$here/lib.sh"; install_npm_packages; else "$here/setup.sh"; fi
exec "$here/run.sh" tools/lab/src/main.ts demo "$@"
