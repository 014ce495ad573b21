//! JSON Patches that only fit the object they were made from: `test` operations on the uid and on
//! what was there, and the resourceVersion just read, which the server compares with its own
//! (another one is a 409). What is absent cannot be tested (RFC 6902, section 4.6): there the
//! resourceVersion alone stands guard.

use super::live::{Halt, Live};
use json_patch::jsonptr::{PointerBuf, Token};
use json_patch::{
    AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation,
};
use serde_json::{Value, json};

/// A patch in the making. `test` operations come before all changes.
#[derive(Debug)]
pub(super) struct Guarded {
    tests: Vec<PatchOperation>,
    changes: Vec<PatchOperation>,
}

impl Guarded {
    /// A patch that only fits this object in this version.
    pub(super) fn on(live: &Live) -> Self {
        let metadata = |field| pointer(&["metadata", field]);
        let mut patch = Self {
            tests: Vec::new(),
            changes: Vec::new(),
        };
        patch.test(metadata("uid"), live.uid());
        patch.replace(metadata("resourceVersion"), live.resource_version());
        patch
    }

    /// The value at `path` must be this.
    pub(super) fn test(&mut self, path: PointerBuf, value: impl Into<Value>) {
        let value = value.into();
        self.tests
            .push(PatchOperation::Test(TestOperation { path, value }));
    }

    /// Puts a value where one is.
    pub(super) fn replace(&mut self, path: PointerBuf, value: impl Into<Value>) {
        let value = value.into();
        self.changes
            .push(PatchOperation::Replace(ReplaceOperation { path, value }));
    }

    /// Puts a value where none is; its parent must be there.
    pub(super) fn add(&mut self, path: PointerBuf, value: impl Into<Value>) {
        let value = value.into();
        self.changes
            .push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// Takes the value away.
    pub(super) fn remove(&mut self, path: PointerBuf) {
        self.changes
            .push(PatchOperation::Remove(RemoveOperation { path }));
    }

    /// The patch.
    pub(super) fn finish(self) -> Patch {
        Patch([self.tests, self.changes].concat())
    }
}

/// A pointer; `/` and `~` in a token are escaped.
pub(super) fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

/// A container of the target's template: where it is and what it is.
pub(super) struct Spot<'a> {
    at: PointerBuf,
    pub(super) container: &'a Value,
}

impl<'a> Spot<'a> {
    /// The container of that name, main or init. One that is in the pod but not in the template (an
    /// injected sidecar) is refused: there is nothing here that would change it.
    pub(super) fn find(live: &'a Live, name: &str) -> Result<Self, Halt> {
        for list in ["containers", "initContainers"] {
            let at = pointer(&["spec", "template", "spec", list]);
            let containers = at.resolve(&live.json).ok().and_then(Value::as_array);
            let mut numbered = containers.into_iter().flatten().enumerate();
            if let Some((index, container)) = numbered.find(|(_, c)| c["name"] == name) {
                return Ok(Self {
                    at: at.with_trailing_token(index),
                    container,
                });
            }
        }
        Err(Halt::Refused(format!(
            "container {name} is not in the template of {}",
            live.object.reference()
        )))
    }

    /// A pointer to something in the container.
    pub(super) fn at(&self, tokens: &[&str]) -> PointerBuf {
        let mut at = self.at.clone();
        for token in tokens {
            at.push_back(Token::new(*token));
        }
        at
    }

    /// Whether the container has a value there (`null` is none).
    pub(super) fn has(&self, tokens: &[&str]) -> bool {
        self.value(tokens).is_some()
    }

    /// The value there.
    pub(super) fn value(&self, tokens: &[&str]) -> Option<&'a Value> {
        pointer(tokens)
            .resolve(self.container)
            .ok()
            .filter(|value| !value.is_null())
    }

    /// The container's name must still be this: containers are found by their index.
    pub(super) fn named(&self, patch: &mut Guarded, name: &str) {
        patch.test(self.at(&["name"]), json!(name));
    }
}
