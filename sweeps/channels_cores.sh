#!/bin/sh
exec cargo run --release --locked --quiet -- sweep channels_cores "$@"
