#!/bin/sh
# What the gate needs beyond Rust, from Debian's packages: valgrind, to count instructions, and Chromium, to look at the pages.
# For users and for the gate.
set -eu
missing=
command -v valgrind > /dev/null || missing="$missing valgrind"
command -v chromium > /dev/null || missing="$missing chromium"
test -z "$missing" && exit 0
apt-get update -qq
# shellcheck disable=SC2086 # one word per package
apt-get install -qq -y --no-install-recommends $missing
