//! Runbooks: Markdown with YAML front matter.
