//! The command line as people see it.

use super::*;
use clap::CommandFactory as _;

/// Every command with all that is below it, for example `incidents list`.
fn commands(command: &clap::Command, path: &str, all: &mut Vec<(String, clap::Command)>) {
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            commands(sub, &path, all);
        } else {
            all.push((path.trim().to_owned(), sub.clone()));
        }
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut all = Vec::new();
    commands(&Cli::command(), "", &mut all);
    all
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_names_every_command() {
    insta::assert_snapshot!(Cli::command().render_long_help());
}

#[test]
fn every_command_has_an_example_and_exit_codes() {
    for (path, mut command) in all() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{path} has no example");
        assert!(
            help.contains(&format!("nightshift {path}")),
            "{path} shows no use of itself"
        );
        assert!(
            help.contains("Exit codes:") || path == "completion",
            "{path} names no exit code"
        );
    }
}

#[test]
fn every_command_that_prints_data_takes_a_format() {
    for (path, command) in all() {
        let mut args = command.get_arguments();
        let short = args.find(|arg| arg.get_long() == Some("output"));
        let short = short.and_then(clap::Arg::get_short);
        let prints_data = !matches!(path.as_str(), "run" | "sim" | "completion");
        assert_eq!(short, prints_data.then_some('o'), "{path}");
    }
}

#[test]
fn every_command_is_in_the_manual() {
    let manual = include_str!("../../../../docs/cli.md");
    for (path, _) in all() {
        assert!(
            manual.contains(&format!("nightshift {path}")),
            "{path} is not in docs/cli.md"
        );
    }
}

#[test]
fn secrets_of_the_environment_are_not_in_the_help() {
    for (path, command) in all() {
        for arg in command.get_arguments() {
            let is_secret = arg
                .get_env()
                .is_some_and(|name| name.to_string_lossy().contains("TOKEN"));
            assert!(
                !is_secret || arg.is_hide_env_values_set(),
                "{path} {}",
                arg.get_id()
            );
        }
    }
}

#[test]
fn the_image_is_built_with_the_pinned_toolchain_and_named_after_this_version() {
    let dockerfile = include_str!("../../../../deploy/Dockerfile");
    let toolchain = include_str!("../../../../rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).unwrap();
    for line in [
        format!("FROM rust:{channel}-bookworm AS build"),
        format!("ENV RUSTUP_TOOLCHAIN={channel}"),
    ] {
        assert!(dockerfile.lines().any(|other| other == line), "{line}");
    }
    let image = concat!("nightshift:", env!("CARGO_PKG_VERSION"));
    for text in [
        dockerfile,
        include_str!("../../../../deploy/nightshift.yaml"),
        include_str!("../../../../docs/install.md"),
    ] {
        assert!(text.contains(image), "{image}");
    }
}
