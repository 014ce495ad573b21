//! A kube-rs program as operators are written, for the fidelity suite.
//!
//! `operator NAMESPACE` keeps a reflector over the namespace's `ConfigMap`s, runs a controller that
//! gives each one labelled `copy` a child by server-side apply and cleans up with a finalizer, and
//! loses a Lease to another holder. It prints one line for each thing that came about, and ends when
//! a `ConfigMap` named `end` is deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Error, Resource as _, ResourceExt as _};
use kube_runtime::controller::{Action, Controller};
use kube_runtime::finalizer::{Event, finalizer};
use kube_runtime::{WatchStreamExt as _, reflector, watcher};

/// Holds a copied `ConfigMap` until the program knows that it goes.
const FINALIZER: &str = "fidelity.example.com/copy";

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = std::env::args()
        .nth(1)
        .context("usage: operator NAMESPACE")?;
    let client = Client::try_default().await?;
    lease(&client, &namespace).await?;
    tokio::select! {
        seen = reflect(&client, &namespace) => seen,
        () = control(&client, &namespace) => bail!("the controller ended"),
    }
}

/// Takes a Lease, loses it to another holder, and is told so when it renews.
async fn lease(client: &Client, namespace: &str) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let held_by = |holder: &str| LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        ..LeaseSpec::default()
    };
    let first = Lease {
        metadata: ObjectMeta {
            name: Some("operator".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(held_by("one")),
    };
    let mut mine = leases.create(&PostParams::default(), &first).await?;
    let mut other = mine.clone();
    other.spec = Some(held_by("two"));
    leases
        .replace("operator", &PostParams::default(), &other)
        .await?;
    mine.spec = Some(held_by("one"));
    match leases
        .replace("operator", &PostParams::default(), &mine)
        .await
    {
        Err(Error::Api(status)) if status.code == 409 => println!("lease lost"),
        other => bail!("a stale lease was renewed: {other:?}"),
    }
    Ok(())
}

/// Keeps a store of the ConfigMaps until `end` is deleted; then prints what is in it.
async fn reflect(client: &Client, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let (reader, writer) = reflector::store();
    let stream = watcher(maps, watcher::Config::default().streaming_lists());
    let mut stream = std::pin::pin!(stream.default_backoff().reflect(writer));
    while let Some(event) = stream.next().await {
        match event? {
            watcher::Event::InitDone => println!("synced"),
            watcher::Event::Apply(map) => println!("applied {}", map.name_any()),
            watcher::Event::Delete(map) => {
                println!("deleted {}", map.name_any());
                if map.name_any() == "end" {
                    let names: BTreeSet<_> =
                        reader.state().iter().map(|map| map.name_any()).collect();
                    println!("store {names:?}");
                    return Ok(());
                }
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }
    bail!("the watch ended")
}

/// Gives each ConfigMap labelled `copy` a child of its own.
async fn control(client: &Client, namespace: &str) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let labelled = watcher::Config::default().labels("copy");
    let controller =
        Controller::new(maps.clone(), labelled).owns(maps.clone(), watcher::Config::default());
    let retry =
        |_: Arc<ConfigMap>, _: &kube_runtime::finalizer::Error<Error>, _: Arc<Api<ConfigMap>>| {
            Action::requeue(Duration::from_secs(1))
        };
    controller
        .run(reconcile, retry, Arc::new(maps))
        .for_each(|done| async move {
            if let Err(error) = done {
                eprintln!("controller: {error}");
            }
        })
        .await;
}

async fn reconcile(
    map: Arc<ConfigMap>,
    maps: Arc<Api<ConfigMap>>,
) -> Result<Action, kube_runtime::finalizer::Error<Error>> {
    finalizer(&maps, FINALIZER, map, |event| async {
        match event {
            Event::Apply(map) => copy(&maps, &map).await,
            Event::Cleanup(map) => {
                println!("cleaned {}", map.name_any());
                Ok(Action::await_change())
            }
        }
    })
    .await
}

async fn copy(maps: &Api<ConfigMap>, map: &ConfigMap) -> Result<Action, Error> {
    let name = format!("{}-copy", map.name_any());
    let child = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: map.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: map.data.clone(),
        ..ConfigMap::default()
    };
    maps.patch(
        &name,
        &PatchParams::apply("operator").force(),
        &Patch::Apply(child),
    )
    .await?;
    Ok(Action::await_change())
}
