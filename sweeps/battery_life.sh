#!/bin/sh
exec cargo run --release --locked --quiet -- sweep battery_life "$@"
