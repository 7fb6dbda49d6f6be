#!/bin/sh
exec cargo run --release --locked --quiet -- sweep sram_ski_slope "$@"
