//! Tables and pictures from what a run left behind: records in, text, CSV and SVG out.

#![forbid(unsafe_code)]
