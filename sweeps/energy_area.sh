#!/bin/sh
exec cargo run --release --locked --quiet -- sweep energy_area "$@"
