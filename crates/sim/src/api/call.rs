//! One request on objects, with everything that is known about it before it is served.

use super::Answer;
use super::accept::{self, Shape};
use super::render::Renderer;
use super::request::Request;
use super::route::Target;
use super::select::Selection;
use super::view::View;
use crate::admission::For;
use crate::auth::User;
use crate::cluster::Cluster;
use crate::custom;
use crate::object::Object;
use crate::patch::{Writer, manager_name};
use crate::resources::Resource;
use crate::status::Status;
use std::sync::Arc;

/// A request on objects.
#[derive(Clone, Debug)]
pub(super) struct Call<'request> {
    /// As it was sent.
    pub(super) request: &'request Request,
    /// What its path names.
    pub(super) target: Target,
    /// The resource as it is shown.
    pub(super) row: Resource,
    /// How its objects are shown.
    pub(super) view: View,
    /// Selectors.
    pub(super) selection: Selection,
    /// Wanted shape of the answer.
    pub(super) shape: Shape,
    /// Who asks.
    pub(super) user: User,
    /// Field manager.
    pub(super) manager: String,
}

impl<'request> Call<'request> {
    /// Reads what all verbs share.
    pub(super) fn new(
        cluster: &Cluster,
        request: &'request Request,
        target: Target,
        user: User,
    ) -> Result<Self, Status> {
        let resources = &cluster.resources;
        let row = resources.get(target.shown).clone();
        let stored = resources.get(target.stored);
        Ok(Self {
            request,
            view: View::of(resources, &target),
            selection: Selection::parse(&request.query, stored)?,
            shape: accept::shape(request)?,
            manager: manager_name(request.query.get("fieldManager"), &request.user_agent),
            row,
            target,
            user,
        })
    }

    /// How the answer is written.
    pub(super) fn renderer(&self, cluster: &Cluster) -> Renderer {
        let table = matches!(self.shape, Shape::Table(_)) && self.row.custom;
        Renderer {
            shape: self.shape,
            columns: if table {
                custom::columns(cluster, &self.row)
            } else {
                Vec::new()
            },
            row: self.row.clone(),
            now: cluster.now(),
        }
    }

    /// An answer of one object.
    pub(super) fn object(&self, cluster: &Cluster, code: u16, object: &Arc<Object>) -> Answer {
        let shown = self.view.show(object);
        Answer::json(code, self.renderer(cluster).one(&shown))
    }

    /// Who writes, for `managedFields`.
    pub(super) fn writer<'name>(
        &'name self,
        cluster: &Cluster,
        subresource: &'name str,
        applied: bool,
    ) -> Writer<'name> {
        Writer {
            manager: &self.manager,
            subresource,
            applied,
            now: cluster.now_seconds(),
        }
    }

    /// For whom it is written, as admission asks.
    pub(super) fn asker(&self, dry_run: bool) -> For<'_> {
        For::Client {
            user: &self.user,
            dry_run,
        }
    }

    /// Name of the object that the path names.
    pub(super) fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    /// The object as it is now; 404 when there is none.
    pub(super) fn current(&self, cluster: &Cluster) -> Result<Arc<Object>, Status> {
        let found = cluster.store.get(&self.target.key());
        found
            .cloned()
            .ok_or_else(|| Status::not_found(&self.row, self.name()))
    }
}
