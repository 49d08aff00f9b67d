# Shared by the scripts beside it: where things are, how to say something, and the two bootstrap steps.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
node24=$root/node_modules/node24/bin/node

say() { printf '%s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# npm packages as package-lock.json names them; once per change of that file.
install_npm_packages() {
  local stamp=$root/node_modules/.calico-installed
  [[ -x $node24 && -f $stamp && ! $root/package-lock.json -nt $stamp ]] && return 0
  command -v npm >/dev/null || die "npm is missing; install Node.js with npm (on Debian: apt-get install nodejs npm), then run this again"
  say "setup: npm packages (package-lock.json) → node_modules"
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error </dev/null >&2) || die "npm ci failed; its message is above"
  touch "$stamp"
}

# Debian packages by name; services that they bring are not started.
install_debian_packages() {
  local missing=() p
  for p in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null) == ii* ]] || missing+=("$p")
  done
  ((${#missing[@]} == 0)) && return 0
  command -v apt-get >/dev/null || die "apt-get is missing and these Debian packages are needed: ${missing[*]}"
  say "setup: Debian packages: ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d made=
  if [[ ! -e $policy ]]; then printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1; fi
  local log; log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
    [[ -n $made ]] && rm -f $policy
    tail -n 20 "$log" >&2; rm -f "$log"
    die "apt-get could not install ${missing[*]}; its last lines are above"
  fi
  rm -f "$log"; [[ -n $made ]] && rm -f $policy
  return 0
}
