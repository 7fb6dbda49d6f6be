#!/bin/sh
exec cargo run --release --locked --quiet -- sweep paper_mnk "$@"
