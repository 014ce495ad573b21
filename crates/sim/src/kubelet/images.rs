//! Images: what registries hold, and what a runtime says when it cannot get one (containerd 2's
//! words, see docs/recorded).

use crate::events::passed;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why an image cannot be pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFault {
    /// The registry has no such image or tag.
    Missing,
    /// The registry wants credentials.
    Unauthorized,
    /// The registry's name is not known.
    NoSuchHost,
    /// The registry refuses connections.
    Refused,
    /// The registry does not answer.
    Silent,
}

/// What is known of images; of others it is assumed that they can be pulled.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// By reference as in a pod's spec, or by registry host.
    faults: BTreeMap<String, Option<ImageFault>>,
}

/// A pull that is under way.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) takes: Duration,
}

impl Images {
    pub(crate) fn set(&mut self, image_or_host: &str, fault: Option<ImageFault>) {
        self.faults.insert(image_or_host.to_owned(), fault);
    }

    /// What is wrong with an image.
    fn fault(&self, image: &str) -> Option<ImageFault> {
        let name = Name::of(image);
        if let Some(known) = self.faults.get(image) {
            return *known;
        }
        if let Some(known) = self.faults.get(name.host) {
            return *known;
        }
        name.built_in()
    }

    /// How long a pull takes until it succeeds or fails.
    pub(super) fn pull(&self, image: &str) -> Pull {
        let takes = match self.fault(image) {
            Some(ImageFault::Silent) => Duration::from_secs(30),
            Some(_) => Duration::from_millis(120),
            None => {
                // 40 MB a second.
                let millis = size(image) / 40_000;
                Duration::from_millis(250).saturating_add(Duration::from_millis(millis))
            }
        };
        Pull { takes }
    }

    /// The runtime's error at the end of a pull.
    pub(super) fn error(&self, image: &str) -> Option<String> {
        let fault = self.fault(image)?;
        let name = Name::of(image);
        let full = name.full();
        let begin =
            format!("failed to pull and unpack image \"{full}\": failed to resolve image: ");
        let host = name.api_host();
        let head = format!(
            "{begin}failed to do request: Head \"https://{host}/v2/{}/manifests/{}\": dial tcp",
            name.path(),
            name.tag
        );
        Some(match fault {
            ImageFault::Missing => {
                format!("rpc error: code = NotFound desc = {begin}{full}: not found")
            }
            ImageFault::Unauthorized => format!(
                "{begin}pull access denied, repository does not exist or may require authorization: \
                 authorization failed: no basic auth credentials"
            ),
            ImageFault::NoSuchHost => {
                format!("{head}: lookup {host} on 10.96.0.10:53: no such host")
            }
            ImageFault::Refused => format!("{head} 192.0.2.10:443: connect: connection refused"),
            ImageFault::Silent => format!("{head} 192.0.2.10:443: i/o timeout"),
        })
    }
}

/// The parts of an image reference.
struct Name<'a> {
    /// As it is written; `docker.io` when it names none.
    host: &'a str,
    repository: &'a str,
    tag: &'a str,
}

impl<'a> Name<'a> {
    fn of(image: &'a str) -> Self {
        let image = image.split('@').next().unwrap_or(image);
        let (host, rest) = match image.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest)
            }
            _ => ("docker.io", image),
        };
        let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
        Self {
            host,
            repository,
            tag,
        }
    }

    fn path(&self) -> String {
        let library = self.host == "docker.io" && !self.repository.contains('/');
        let library = if library { "library/" } else { "" };
        format!("{library}{}", self.repository)
    }

    fn full(&self) -> String {
        format!("{}/{}:{}", self.host, self.path(), self.tag)
    }

    fn api_host(&self) -> &str {
        match self.host {
            "docker.io" => "registry-1.docker.io",
            host => host,
        }
    }

    /// Names that say themselves that they cannot be had: a host below `.invalid` (RFC 2606), and
    /// what the lab's registry does not hold.
    fn built_in(&self) -> Option<ImageFault> {
        if self.host.ends_with(".invalid") {
            return Some(ImageFault::NoSuchHost);
        }
        if self.host != "img.test" {
            return None;
        }
        let known = ["1", "2", "3", "broken", "pulled"];
        match self.repository {
            "app" if known.contains(&self.tag) => None,
            "busybox" | "pause" if self.tag == "1" => None,
            other if other.starts_with("private/") => Some(ImageFault::Unauthorized),
            _ => Some(ImageFault::Missing),
        }
    }
}

/// Is it on every node from the start, as in the lab?
pub(super) fn is_preloaded(image: &str) -> bool {
    image.starts_with("img.test/")
        && image != "img.test/app:pulled"
        && Name::of(image).built_in().is_none()
}

/// Can it be read as a reference? (`distribution/reference`: lower case, no blanks.)
pub(super) fn is_valid(image: &str) -> bool {
    let path = image.split('@').next().unwrap_or(image);
    let name = path.rsplit_once(':').map_or(
        path,
        |(name, tag)| {
            if tag.contains('/') { path } else { name }
        },
    );
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
    let host_free = name.split_once('/').map_or(name, |(first, rest)| {
        if first.contains(['.', ':']) {
            rest
        } else {
            name
        }
    });
    !name.is_empty()
        && !host_free.is_empty()
        && host_free.chars().all(fine)
        && !host_free.starts_with(['.', '_', '-', '/'])
        && !host_free.ends_with(['/', ':', '-', '.'])
        && !path.ends_with(':')
        && !path.contains(' ')
}

/// A made-up size in bytes, the same for the same name: 5 to 85 MB.
pub(super) fn size(image: &str) -> u64 {
    let digest = Sha256::digest(image.as_bytes());
    let [first, second, third, ..] = digest.as_slice() else {
        return 5_000_000;
    };
    let number = u64::from(*first) << 16 | u64::from(*second) << 8 | u64::from(*third);
    5_000_000 + number * 5
}

/// A made-up digest.
pub(super) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// `imageID` of a container.
pub(super) fn id(image: &str) -> String {
    if is_preloaded(image) {
        return format!("sha256:{}", digest(image));
    }
    let name = Name::of(image);
    format!("{}/{}@sha256:{}", name.host, name.path(), digest(image))
}

/// The Event of a pull that went well.
pub(super) fn pulled(image: &str, since: Timestamp, now: Timestamp) -> String {
    let took = go_duration(passed(since, now));
    let size = size(image);
    format!(
        "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {size} bytes."
    )
}

/// A duration below a minute as Go prints it, rounded to milliseconds.
fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_containerd_s() {
        let mut images = Images::default();
        assert_eq!(
            images.error("img.test/app:nowhere").unwrap(),
            "rpc error: code = NotFound desc = failed to pull and unpack image \"img.test/app:nowhere\": \
             failed to resolve image: img.test/app:nowhere: not found"
        );
        assert_eq!(
            images.error("registry.invalid/shop/cart:7").unwrap(),
            "failed to pull and unpack image \"registry.invalid/shop/cart:7\": failed to resolve image: \
             failed to do request: Head \"https://registry.invalid/v2/shop/cart/manifests/7\": \
             dial tcp: lookup registry.invalid on 10.96.0.10:53: no such host"
        );
        assert!(
            images
                .error("img.test/private/app:1")
                .unwrap()
                .ends_with("no basic auth credentials")
        );
        assert_eq!(images.error("nginx"), None);
        images.set("docker.io", Some(ImageFault::Silent));
        assert!(
            images
                .error("nginx")
                .unwrap()
                .contains("registry-1.docker.io/v2/library/nginx/manifests/latest")
        );
    }

    #[test]
    fn names_that_are_none_are_seen() {
        for good in ["nginx", "a.b:5000/c/d:E_1", "x@sha256:00", "localhost/x:1"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "Nginx", "a b", "x:", "a.b/", "nginx:1:2 "] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
