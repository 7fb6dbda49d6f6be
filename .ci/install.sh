#!/bin/sh
# What the gate needs beyond Rust, from Debian's packages: valgrind, to count instructions. For users and for the gate.
set -eu
command -v valgrind > /dev/null && exit 0
apt-get update -qq
apt-get install -qq -y --no-install-recommends valgrind
