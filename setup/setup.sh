#!/usr/bin/env bash
# Everything that the demonstration, the daemons and the tests need on a fresh Debian 12. Safe to run again: what is there is left alone.
#   setup.sh          what the daemons and the demonstration need
#   setup.sh --test   and what only the tests need (other BGP speakers, container runtimes)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $(uname -s) = Linux ]] || die "this is $(uname -s); the network that this project builds is Linux's"
[[ $(uname -m) = x86_64 ]] || die "this is $(uname -m); the pinned runtimes are for x86_64"
[[ $EUID -eq 0 ]] || die "not root; network namespaces, iptables and package installation need it (try: sudo npm run setup)"

# package: what it is for
packages=(
  etcd-server               # the datastore
  nats-server               # the event log
  iproute2 iptables ipset conntrack util-linux # the kernel's tools
  containernetworking-plugins # portmap, chained after ours
  nginx-light busybox dnsmasq-base # what the demonstration's pods run
  openssl                   # certificates of the lab's API server
)
command -v kubectl >/dev/null || packages+=(kubernetes-client)
command -v cc >/dev/null || packages+=(gcc libc6-dev) # builds the CNI executable, once
[[ ${1:-} = --test ]] && packages+=(
  bird2                  # a BGP speaker that is not ours
  containerd runc podman # container runtimes that call the CNI plugin
)

install_debian_packages "${packages[@]}"
install_npm_packages

# A name for our route protocols, so that `ip route` prints it.
protocols=/etc/iproute2/rt_protos.d/calico.conf
if [[ ! -f $protocols ]]; then
  say "setup: names of our route protocols → $protocols"
  mkdir -p "${protocols%/*}"
  printf '80\tcalico\n179\tcalico-bgp\n' >$protocols
fi

"$root/packages/cni/shim/build.sh" "$root/dist/cni"
"$root/setup/kernel.sh"
