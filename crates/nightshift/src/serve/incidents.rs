//! `/api/incidents`: what happened and why, for people and programs.

use super::Problem;
use crate::shell::Handle;
use crate::store::{Detail, Filter, Page, Recorded, Store, StoreError};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use nightshift_core::diagnose::FaultClass;
use nightshift_core::ids::IncidentId;
use nightshift_core::incident::{Incident, Phase};
use nightshift_core::record::Entry;
use serde::{Deserialize, Serialize};

/// Incidents in one answer where none is asked for.
const DEFAULT_LIMIT: u32 = 50;
/// Most incidents in one answer.
pub const MAX_LIMIT: u32 = 500;
/// Earlier incidents that are shown with one.
const MAX_PAST: u32 = 50;

/// Filters of a list; what is not given asks for all. As query of the HTTP path and as options of
/// the command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct ListQuery {
    /// Incidents to show, 500 at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIMIT)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Incidents to skip, newest first
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// `open` or `closed`
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// One phase: open, preparing, acting, reading_back, verifying, waiting, closed
    #[arg(long, value_parser = from_word::<Phase>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// One fault class, for example OomKilled
    #[arg(long, value_parser = from_word::<FaultClass>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<FaultClass>,
    /// Incidents of owners in this namespace
    #[arg(short, long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Incidents that an alert of this name speaks of
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alertname: Option<String>,
}

/// Whether an incident has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not closed.
    Open,
    /// Closed.
    Closed,
}

/// Answer to `GET /api/incidents`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListReply {
    /// Newest first.
    pub incidents: Vec<Incident>,
    /// How many match, shown or not.
    pub total: u64,
}

/// Answer to `GET /api/incidents/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncidentReply {
    /// The incident.
    pub incident: Incident,
    /// Its record, oldest first.
    pub events: Vec<Recorded>,
    /// The analysis, once one was written.
    pub analysis_markdown: Option<String>,
    /// Earlier incidents that share alert, workload, pod or node, newest first, 50 at most.
    pub past_incidents: Vec<PastIncident>,
}

/// An earlier incident in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastIncident {
    /// Id.
    pub id: IncidentId,
    /// Fault class.
    pub class: FaultClass,
    /// Topmost owner, for example `Deployment demo/my-app`.
    pub owner: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// How it ended (`fixed`, `recovered`, `merged`, `gone`), else its phase.
    pub state: String,
    /// What was done.
    pub action_taken: Option<String>,
}

impl From<&Incident> for PastIncident {
    fn from(incident: &Incident) -> Self {
        let state = incident
            .outcome
            .as_ref()
            .map_or_else(|| word(&incident.phase), word);
        Self {
            id: incident.id.clone(),
            class: incident.fingerprint.class,
            owner: incident.owner.to_string(),
            opened_at: incident.opened_at,
            closed_at: incident.closed_at,
            state,
            action_taken: incident.action_taken.clone(),
        }
    }
}

/// A variant's name as JSON has it.
pub fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

fn from_word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|error| error.to_string())
}

/// Incidents that match, newest first.
pub async fn list(store: &Store, query: &ListQuery) -> Result<ListReply, StoreError> {
    let filter = Filter {
        cluster: None,
        phase: query.phase,
        open: query.status.map(|status| status == Status::Open),
        class: query.class,
        namespace: query.namespace.clone(),
        alert_name: query.alertname.clone(),
    };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let Page { incidents, total } = store
        .incidents(&filter, limit, query.offset.unwrap_or(0))
        .await?;
    Ok(ListReply { incidents, total })
}

/// All about one incident, or `None` where there is none of that id.
pub async fn show(store: &Store, id: &IncidentId) -> Result<Option<IncidentReply>, StoreError> {
    let Some(Detail {
        incident,
        events,
        analysis,
    }) = store.incident(id).await?
    else {
        return Ok(None);
    };
    let past = store.past_like(&incident, MAX_PAST).await?;
    Ok(Some(IncidentReply {
        past_incidents: past.iter().map(PastIncident::from).collect(),
        incident,
        events,
        analysis_markdown: analysis,
    }))
}

pub(super) async fn get_list(
    State(agent): State<Handle>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListReply>, Problem> {
    let Query(query) = query.map_err(|rejection| {
        Problem::bad_request(
            rejection.body_text(),
            "filters are limit, offset, status, phase, class, namespace, alertname",
        )
    })?;
    if query
        .limit
        .is_some_and(|limit| limit == 0 || limit > MAX_LIMIT)
    {
        return Err(Problem::bad_request(
            format!("limit is not from 1 to {MAX_LIMIT}"),
            "read the next ones with offset",
        ));
    }
    Ok(Json(list(agent.store(), &query).await?))
}

pub(super) async fn get_one(
    State(agent): State<Handle>,
    Path(id): Path<String>,
) -> Result<Json<IncidentReply>, Problem> {
    let id = IncidentId::from(id);
    show(agent.store(), &id)
        .await?
        .map(Json)
        .ok_or_else(|| no_incident(&id))
}

/// Writes the analysis anew, from the record alone, and answers with all that is kept.
pub(super) async fn regenerate(
    State(agent): State<Handle>,
    Path(id): Path<String>,
) -> Result<Json<IncidentReply>, Problem> {
    let id = IncidentId::from(id);
    let store = agent.store();
    let found = store.incident(&id).await?.ok_or_else(|| no_incident(&id))?;
    let Detail {
        incident, events, ..
    } = found;
    let past = store.past_like(&incident, MAX_PAST).await?;
    let entries: Vec<(Timestamp, Entry)> =
        events.into_iter().map(|row| (row.at, row.entry)).collect();
    let text = nightshift_core::analysis::write(&incident, &entries, &past);
    let cluster = &incident.fingerprint.cluster;
    store
        .put_analysis(cluster, &id, &text, agent.clock().now())
        .await?;
    show(store, &id)
        .await?
        .map(Json)
        .ok_or_else(|| no_incident(&id))
}

fn no_incident(id: &IncidentId) -> Problem {
    Problem::not_found(
        format!("there is no incident {id}"),
        "GET /api/incidents lists them",
    )
}
