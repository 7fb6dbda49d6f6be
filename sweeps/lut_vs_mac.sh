#!/bin/sh
exec cargo run --release --locked --quiet -- sweep lut_vs_mac "$@"
