fn main() -> std::process::ExitCode {
    netchaos::cli::main()
}
