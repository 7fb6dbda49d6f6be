#!/bin/sh
# Slurm and munge from Debian's packages: a cluster on one machine, for `cargo xtask slurm-test`. For users and for the gate.
set -eu
command -v slurmctld > /dev/null && command -v slurmd > /dev/null && command -v sbatch > /dev/null && command -v munged > /dev/null && exit 0
apt-get update -qq
apt-get -o DPkg::Lock::Timeout=180 install -qq -y --no-install-recommends slurm-wlm munge
