//! What the simulator does otherwise than the lab, with the reason.

/// Checks that fail on the simulator. One that passes nevertheless is an error: the list is stale.
pub const KNOWN: &[(&str, &str)] = &[
    (
        "post: body that cannot be read",
        "one of the broken bodies is read as an object without a name: 422 instead of 400",
    ),
    (
        "field that is not known, strict",
        "there are no schemas of the built-in kinds: an unknown field is stored, not refused",
    ),
    (
        "list: options that cannot be read",
        "a resourceVersion that is no number gets 422 instead of 400",
    ),
    (
        "watch: one object, by its old path too",
        "the old /watch/ paths are not served",
    ),
    (
        "apply: refusals",
        "one of the broken applies is stored instead of refused",
    ),
    (
        "discovery: version, health, OpenAPI",
        "/readyz has no verbose form, and OpenAPI has no schemas",
    ),
    (
        "kubectl create, run, set, label, annotate, patch, expose",
        "kubectl create sends protobuf, which is not read: use apply or create -f",
    ),
    (
        "kubectl auth can-i, whoami",
        "kubectl sends these reviews as protobuf, which is not read",
    ),
    (
        "kubectl api-resources, explain, version",
        "explain needs schemas in OpenAPI, and there are none",
    ),
    (
        "client-go: informer, work queue, leader election",
        "the program did not become leader in time; why is not known yet",
    ),
];
