#!/bin/sh
# Instructions per DRAM burst of the skip engine: two runs of a fixed workload, one of a step more, under callgrind.
# Compared with benches/instructions.toml; worse than that by more than the tolerance fails. Needs valgrind.
set -eu
cd "$(dirname "$0")/.."
if ! command -v valgrind > /dev/null; then
    echo "instructions: valgrind is not installed; skipped"
    exit 0
fi
engine=$(cargo bench --bench engine --no-run --message-format=json 2> /dev/null |
    sed -n 's/.*"name":"engine".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$engine" --steps "$1" > "$log.out" 2> "$log"
    bursts=$(cat "$log.out")
    rm -f "$log.out"
    instructions=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$log")
}
count 1
first=$instructions first_bursts=$bursts
count 2
key() { sed -n "s/^$1 = \([0-9.]*\).*/\1/p" benches/instructions.toml; }
awk -v i=$((instructions - first)) -v b=$((bursts - first_bursts)) -v was="$(key per_burst)" -v tolerance="$(key tolerance_percent)" '
    BEGIN {
        now = i / b
        printf "instructions per burst: %.1f (%d bursts), committed: %.1f\n", now, b, was
        if (now > was * (1 + tolerance / 100)) { print "more than the tolerance of " tolerance " %"; exit 1 }
        if (now < was * (1 - tolerance / 100)) print "better: commit the new figure in benches/instructions.toml"
    }'
