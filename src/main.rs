//! `lutsim`: everything is in the library.

fn main() -> std::process::ExitCode {
    lutsim::shell::main()
}
