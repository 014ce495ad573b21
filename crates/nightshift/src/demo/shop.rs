//! The shop: manifests, what the programs in its images do, and the nodes it runs on.

use nightshift_sim::behaviour::Behaviour;
use nightshift_sim::kubelet::ImageFault;
use nightshift_sim::load::{self, LoadError};
use nightshift_sim::nodes::NodeSpec;
use nightshift_sim::{Cluster, Status};
use std::collections::BTreeMap;
use std::path::Path;

/// The nodes.
pub(super) const NODES: [&str; 4] = ["node-1", "node-2", "node-3", "node-4"];

/// Every manifest, by the name of its file in `shop/`.
const MANIFESTS: &[(&str, &str)] = &[
    ("shop.yaml", include_str!("shop/shop.yaml")),
    ("cart.yaml", include_str!("shop/cart.yaml")),
    ("catalog.yaml", include_str!("shop/catalog.yaml")),
    ("checkout.yaml", include_str!("shop/checkout.yaml")),
    ("frontend.yaml", include_str!("shop/frontend.yaml")),
    ("orders-db.yaml", include_str!("shop/orders-db.yaml")),
    ("payments.yaml", include_str!("shop/payments.yaml")),
    (
        "recommendations.yaml",
        include_str!("shop/recommendations.yaml"),
    ),
    ("reports.yaml", include_str!("shop/reports.yaml")),
    ("search.yaml", include_str!("shop/search.yaml")),
    ("sessions.yaml", include_str!("shop/sessions.yaml")),
    ("shipping.yaml", include_str!("shop/shipping.yaml")),
];

/// Behaviours by image: all that the shop's registry holds.
const IMAGES: &str = include_str!("shop/images.yaml");

/// Why the shop cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] LoadError),
    /// A node.
    #[error("a node was refused")]
    Node(#[from] Status),
    /// The table of images.
    #[error("images.yaml: {0}")]
    Images(String),
}

/// The shop's registry.
const REGISTRY: &str = "shop.test";

/// Puts nodes, images and manifests into a cluster.
pub(super) fn set_up(cluster: &mut Cluster) -> Result<(), ShopError> {
    for name in NODES {
        cluster.add_node(name, &NodeSpec::default())?;
    }
    let images: BTreeMap<String, Behaviour> =
        serde_saphyr::from_str(IMAGES).map_err(|error| ShopError::Images(error.to_string()))?;
    cluster.set_image(REGISTRY, Some(ImageFault::Missing));
    for (image, behaviour) in images {
        cluster.set_image(&image, None);
        cluster.set_behaviour(&image, Some(behaviour));
    }
    for (file, text) in MANIFESTS {
        create(cluster, file, text)?;
    }
    Ok(())
}

/// Creates what a text describes; `file` only names it in errors.
pub(super) fn create(cluster: &mut Cluster, file: &str, text: &str) -> Result<(), LoadError> {
    let objects = load::parse(&Path::new("shop").join(file), text)?;
    load::manifests(cluster, objects)
}
