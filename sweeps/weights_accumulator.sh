#!/bin/sh
exec cargo run --release --locked --quiet -- sweep weights_accumulator "$@"
