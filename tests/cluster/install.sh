#!/usr/bin/env bash
# What tests/cluster needs of Debian or Ubuntu: a workload manager, and a database for its accounting.
# Nothing is started or configured here; the tests start daemons of their own and stop them again.
set -euo pipefail
packages=(munge slurm-client slurmctld slurmd slurmdbd mariadb-server-core mariadb-client-core)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
export DEBIAN_FRONTEND=noninteractive
# Debian's scripts start a service after its installation where there is an init system: not here.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
