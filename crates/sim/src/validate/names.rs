//! What names, labels and keys may look like, with the messages of
//! `k8s.io/apimachinery/pkg/util/validation`. Each function gives what is wrong; nothing when all is well.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

fn alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// Begins and ends with `edge`, and has nothing but `edge` and `inner` in between.
fn framed(text: &str, edge: impl Fn(char) -> bool, inner: &str) -> bool {
    !text.is_empty()
        && text.starts_with(&edge)
        && text.ends_with(&edge)
        && text.chars().all(|c| edge(c) || inner.contains(c))
}

fn is_label(text: &str) -> bool {
    framed(text, alphanumeric, "-")
}

fn regex(message: &str, regex: &str, examples: &[&str]) -> String {
    let mut text = format!("{message} (e.g. ");
    for (index, example) in examples.iter().enumerate() {
        // Kubernetes puts a comma and a space after each example, before the " or " too.
        text.push_str(if index > 0 { " or '" } else { "'" });
        text.push_str(example);
        text.push_str("', ");
    }
    format!("{text}regex used for validation is '{regex}')")
}

fn too_long(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes"))
}

/// An RFC 1123 label: names of namespaces, containers, ports of pods' volumes.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = too_long(text, 63).into_iter().collect();
    if !is_label(text) {
        wrong.push(if text.split('.').all(is_label) && text.contains('.') {
            "must not contain dots".to_owned()
        } else {
            regex(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    wrong
}

/// An RFC 1123 subdomain: names of most objects.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = too_long(text, 253).into_iter().collect();
    if !text.split('.').all(is_label) {
        wrong.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    wrong
}

/// An RFC 1035 label: names of Services.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = too_long(text, 63).into_iter().collect();
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(regex(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    wrong
}

/// A name in a path, and no more: RBAC's objects.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    let bad = ['/', '%'].into_iter().filter(|c| text.contains(*c));
    bad.map(|c| format!("may not contain '{c}'")).collect()
}

/// A label's key, or any other qualified name.
pub fn label_key(text: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let examples = ["MyName", "my.name", "123-abc"];
    let mut wrong = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                let each = dns_subdomain(prefix).into_iter();
                wrong.extend(each.map(|one| format!("prefix part {one}")));
            }
            *name
        }
        _ => {
            let why = regex(
                &format!("a valid label key {MESSAGE}"),
                LABEL_KEY,
                &examples,
            );
            return vec![format!(
                "{why} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if let Some(long) = too_long(name, 63) {
        wrong.push(format!("name part {long}"));
    }
    if !framed(name, |c| c.is_ascii_alphanumeric(), "-_.") {
        let why = regex(MESSAGE, LABEL_KEY, &examples);
        wrong.push(format!("name part {why}"));
    }
    wrong
}

/// A label's value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = too_long(text, 63).into_iter().collect();
    if !text.is_empty() && !framed(text, |c| c.is_ascii_alphanumeric(), "-_.") {
        wrong.push(regex(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({LABEL_KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// A key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = too_long(text, 253).into_iter().collect();
    let inner = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if text.is_empty() || !text.chars().all(inner) {
        wrong.push(regex(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    } else if text == "." || text == ".." {
        wrong.push(format!("must not be '{text}'"));
    } else if text.starts_with("..") {
        wrong.push("must not start with '..'".to_owned());
    }
    wrong
}

/// A name of an environment variable.
pub fn env_name(text: &str) -> Vec<String> {
    let printable = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.is_empty() || !text.chars().all(|c| printable(c) && c != '=') {
        return vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()];
    }
    Vec::new()
}

/// A port's name.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push("must be no more than 15 characters".to_owned());
    }
    if text.is_empty() || !text.chars().all(|c| alphanumeric(c) || c == '-') {
        wrong.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.contains(|c: char| c.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_in_the_words_of_the_recorded_server() {
        assert_eq!(
            dns_subdomain("Not_Good"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            label_value("a b"),
            [
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]
        );
    }

    #[test]
    fn good_names_pass() {
        for name in ["a", "a-b", "a.b", "1", "web-7d4c.x"] {
            assert_eq!(dns_subdomain(name), Vec::<String>::new(), "{name}");
        }
        for key in ["app", "app.kubernetes.io/name", "a_b", "A"] {
            assert_eq!(label_key(key), Vec::<String>::new(), "{key}");
        }
        assert!(dns_1035_label("1a").len() == 1 && dns_label("a.b") == ["must not contain dots"]);
        assert!(label_key("/a").len() == 1 && label_key("a/b/c").len() == 1);
        assert!(port_name("http").is_empty() && port_name("80").len() == 1);
    }
}
