#!/bin/sh
# Slurm and munge from Debian's packages: a cluster on one machine, for `cargo xtask slurm-test`. For users and for the gate.
# Ends with 77 where there can be none: without root, or without apt-get.
set -eu
has() { for name in "$@"; do command -v "$name" > /dev/null || return 1; done; }
programs="slurmctld slurmd sbatch squeue sinfo scontrol munged munge setpriv"
cannot() { echo "no Slurm: $*" >&2; exit 77; }
test "$(id -u)" -eq 0 || cannot "its daemons, which must be root's, cannot be started by $(id -un)"
# shellcheck disable=SC2086 # one word per program
has $programs && exit 0
has apt-get || cannot "this machine has no apt-get to install it with"
apt-get update -qq || cannot "apt-get cannot fetch its lists"
apt-get -o DPkg::Lock::Timeout=180 install -qq -y --no-install-recommends slurm-wlm munge
# shellcheck disable=SC2086 # one word per program
has $programs || { echo "slurm-wlm and munge were installed, and one of these is not there: $programs" >&2; exit 1; }
