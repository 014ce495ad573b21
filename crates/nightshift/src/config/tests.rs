use super::*;

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn parse(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(Path::new("nightshift.yaml"), text, &env(pairs))
}

fn refusal(text: &str, pairs: &[(&str, &str)]) -> String {
    parse(text, pairs).unwrap_err().to_string()
}

#[test]
fn the_default_is_the_policy_of_a_fresh_installation() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config.policy(), Policy::default());
    assert!(config.dry_run);
    assert!(config.listen.ip().is_loopback());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "mode: observe\nstable_min: 5s\nprotected_namespaces: [pay, ledger]\n";
    let config = parse(file, &[("AGENT_MODE", "approve"), ("NODE_NAME", "n1")]).unwrap();
    assert_eq!(config.mode, Autonomy::Approve);
    assert_eq!(config.source_of("mode"), Source::Environment);
    assert_eq!(config.stable_min, SignedDuration::from_secs(5));
    assert_eq!(config.source_of("stable_min"), Source::File);
    assert_eq!(config.source_of("dry_run"), Source::Default);
    assert_eq!(config.policy().own_node.as_deref(), Some("n1"));
    assert!(config.protected_namespaces.contains("pay"));
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = parse("", &[("AGENT_MODE", ""), ("DRY_RUN", "")]).unwrap();
    assert_eq!(config.mode, Autonomy::Recommend);
    let why = refusal("", &[("AGENT_MODE", "auto"), ("DRY_RUN", "")]);
    assert!(why.contains("DRY_RUN is not set"), "{why}");
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let mut config = parse("", &[("NIGHTSHIFT_CONTEXT", "staging")]).unwrap();
    config.name_cluster(Some(Path::new("/other")), Some("staging"));
    assert_eq!(config.kubeconfig.as_deref(), Some(Path::new("/other")));
    assert_eq!(config.source_of("kubeconfig"), Source::CommandLine);
    assert_eq!(config.source_of("context"), Source::Environment);
    config.name_cluster(None, None);
    assert_eq!(config.context.as_deref(), Some("staging"));
}

#[test]
fn auto_has_to_be_chosen_twice() {
    assert_eq!(
        refusal("mode: auto", &[]),
        "AGENT_MODE is `auto` and DRY_RUN is not set: set DRY_RUN=false to let the agent write to the cluster by itself, or DRY_RUN=true to see what it would do"
    );
    assert!(
        !parse("mode: auto", &[("DRY_RUN", "false")])
            .unwrap()
            .dry_run
    );
    assert!(parse("mode: auto\ndry_run: true", &[]).unwrap().dry_run);
}

#[test]
fn errors_say_where_and_what() {
    let unknown = refusal("mode: recommend\nstable_minn: 5s", &[]);
    assert!(unknown.starts_with("nightshift.yaml: unknown field `stable_minn`"));
    assert!(unknown.ends_with("at line 2, column 1"), "{unknown}");
    let refusals = [
        refusal("listen: everywhere", &[]),
        refusal("mode: [", &[]),
        refusal("mode: yolo", &[]),
        refusal("", &[("DRY_RUN", "maybe")]),
        refusal("", &[("AGENT_MODE", "yolo")]),
        refusal("", &[("NIGHTSHIFT_STABLE_MIN", "5 parsecs")]),
        refusal("", &[("NIGHTSHIFT_TOKEN", "s3cret")]),
        refusal("allowed_actions: [cordon, delete_cluster]", &[]),
        refusal("stable_min: 20m", &[]),
        refusal("permit_ttl: -1s", &[]),
        refusal("notify_webhook_url: nowhere", &[]),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn variables_that_kubernetes_sets_are_no_mistake() {
    let links = [
        ("NIGHTSHIFT_SERVICE_HOST", "10.0.0.1"),
        ("NIGHTSHIFT_PORT", "tcp://10.0.0.1:8080"),
        ("NIGHTSHIFT_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("NIGHTSHIFT_LAB_BUILD", "/somewhere"),
    ];
    assert!(parse("", &links).is_ok());
}

#[test]
fn secrets_are_never_shown() {
    let file = "api_token: hunter2\nnotify_webhook_url: http://hooks.example/hunter2\n";
    let config = parse(file, &[("NIGHTSHIFT_INTAKE_TOKEN", "hunter2")]).unwrap();
    assert!(!config.print().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let broken = refusal("api_token: {hunter2: hunter2}", &[]);
    assert!(!broken.contains("hunter2"), "{broken}");
}

#[test]
fn a_printed_configuration_gives_nobody_a_token_that_everybody_knows() {
    let variable = ("NIGHTSHIFT_API_TOKEN", "0123456789abcdef");
    let printed = parse("", &[variable]).unwrap().print();
    let why = refusal(&printed, &[]);
    assert!(why.starts_with("`api_token` is `[redacted]`"), "{why}");
    assert!(parse(&printed, &[variable]).is_ok());
    let why = refusal("notify_webhook_url: \"[redacted]\"", &[]);
    assert!(why.starts_with("`notify_webhook_url` is"), "{why}");
}

#[test]
fn the_printed_configuration_documents_every_key_and_can_be_read_again() {
    let config = parse("mode: observe", &[("CLUSTER_NAME", "prod \"eu\"")]).unwrap();
    let printed = config.print();
    insta::assert_snapshot!(printed);
    let again = parse(&printed, &[]).unwrap();
    assert_eq!(again.policy(), config.policy());
    assert_eq!(again.cluster_name, config.cluster_name);
    for variable in Config::VARIABLES {
        assert!(printed.contains(&format!("({variable};")), "{variable}");
    }
}

#[test]
fn the_record_is_kept_for_longer_than_any_rule_looks_back() {
    let keep = parse("retention_days: 30\njournal_days: 2", &[])
        .unwrap()
        .keep();
    assert_eq!(keep.incidents, SignedDuration::from_hours(30 * 24));
    assert_eq!(keep.journal, SignedDuration::from_hours(48));
    for wrong in ["retention_days: 0", "journal_days: 0", "retention_days: 6"] {
        let why = refusal(wrong, &[]);
        assert!(why.contains("_days`"), "{why}");
    }
}

#[test]
fn every_number_and_duration_is_within_what_it_can_mean() {
    let refused = [
        (
            "stable_min: -30s",
            "`stable_min` has to be longer than nothing",
        ),
        (
            "stable_min: 0s",
            "`stable_min` has to be longer than nothing",
        ),
        (
            "verify_timeout: -1m",
            "`verify_timeout` has to be longer than nothing",
        ),
        ("stable_max: 48h", "`stable_max` is longer than 24h"),
        ("permit_ttl: 1h", "`permit_ttl` is longer than 10m"),
        (
            "snapshot_max_age: 1h",
            "`snapshot_max_age` is longer than 10m",
        ),
        (
            "confidence_over: 0",
            "`confidence_over` has to be from 50 to 100",
        ),
        (
            "confidence_over: 101",
            "`confidence_over` has to be from 50 to 100",
        ),
        (
            "same_action_max: 0",
            "`same_action_max` has to be from 1 to 100",
        ),
        (
            "breaker_failures: 4000000000",
            "`breaker_failures` has to be from 1 to 100",
        ),
        (
            "retention_days: 4000000000",
            "`retention_days` has to be from 1 to 36500",
        ),
        (
            "journal_days: 0",
            "`journal_days` has to be from 1 to 36500",
        ),
    ];
    for (text, why) in refused {
        assert_eq!(refusal(text, &[]), why, "{text}");
    }
}
