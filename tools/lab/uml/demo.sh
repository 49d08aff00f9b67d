#!/usr/bin/env bash
# The demonstration on a kernel of its own, for what this machine's kernel lacks (IPIP's tunl0). Needs no rights beyond root's and no virtualization:
# User-Mode-Linux is a kernel that runs as a process. Built once from Debian's sources (5 to 15 minutes on two cores), kept in ~/.cache/calico-uml.
#   tools/lab/uml/demo.sh [arguments of `lab demo`; default: --check]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
source "$root/setup/lib.sh"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/calico-uml
kernel=$cache/linux

build() {
  install_debian_packages linux-source-6.1 build-essential flex bison bc libelf-dev xz-utils
  say "uml: kernel from Debian's linux-source-6.1 → $kernel (its output is in $cache/build.log)"
  mkdir -p "$cache/src"
  tar -C "$cache/src" --strip-components=1 -xf /usr/src/linux-source-6.1.tar.xz
  (
    cd "$cache/src"
    make ARCH=um defconfig
    scripts/kconfig/merge_config.sh -m .config "$here/kernel.fragment"
    make ARCH=um olddefconfig
    make ARCH=um -j"$(nproc)" linux
  ) >"$cache/build.log" 2>&1 || die "the kernel was not built; see $cache/build.log"
  strip -o "$kernel" "$cache/src/linux"
  rm -rf "$cache/src"
}

"$root/setup/setup.sh"
[[ -x $kernel ]] || build

out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT
arguments=("$@")
((${#arguments[@]})) || arguments=(--check)
printf '%q ' "$root/setup/run.sh" tools/lab/src/main.ts demo --id uml "${arguments[@]}" >"$out/command"
cat >"$out/init" <<EOF
#!/bin/bash
# The first and only process of that kernel. Its /run is its own; files of the machine are seen as they are.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DENO_DIR=/run/deno ETCD_TIMEOUT_MS=60000
mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /run
mkdir -p /run/lock /run/netns /run/out
mount -t hostfs none /run/out -o "$out"
ip link set lo up
cd "$root" && bash /run/out/command >/run/out/log 2>&1
echo \$? >/run/out/code
echo o >/proc/sysrq-trigger
sleep 60
EOF
chmod +x "$out/init"
timeout 900 "$kernel" mem=3G rootfstype=hostfs rootflags=/ rw init="$out/init" con0=fd:0,fd:1 con=null quiet umid="calico-$$" uml_dir="$out" </dev/null >"$out/console" 2>&1 || true
cat "$out/log" 2>/dev/null || { cat "$out/console" >&2; die "the kernel did not come up"; }
exit "$(cat "$out/code" 2>/dev/null || echo 1)"
