//! A fence in the client itself: what reads can only read.

use http::{Method, Request};
use kube::client::Body;
use tower::BoxError;

/// Path segments behind which a GET does more than read: `exec`, `attach` and `portforward` run
/// things in a pod, `proxy` sends the request on. Secrets are never read at all.
const DOORS: [&str; 5] = ["exec", "attach", "portforward", "proxy", "secrets"];

/// Lets a GET of an ordinary path through and refuses everything else. An object that is literally
/// named like one of the doors is refused as well: closed, not open.
pub(crate) fn read_only(request: Request<Body>) -> Result<Request<Body>, BoxError> {
    let path = request.uri().path();
    if request.method() == Method::GET && !path.split('/').any(|part| DOORS.contains(&part)) {
        Ok(request)
    } else {
        Err(format!("the read-only client refused {} {path}", request.method()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(method: Method, uri: &str) -> bool {
        let request = Request::builder().method(method).uri(uri);
        read_only(request.body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn plain_gets_pass() {
        for uri in [
            "/api/v1/pods?limit=500",
            "/api/v1/namespaces/demo/pods/web-0/log?container=app",
            "/apis/apps/v1/deployments?watch=true",
            "/version",
        ] {
            assert!(allowed(Method::GET, uri), "{uri}");
        }
    }

    #[test]
    fn mutating_methods_are_refused() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!allowed(method, "/api/v1/namespaces/demo/pods/web-0"));
        }
    }

    #[test]
    fn gets_that_do_more_than_read_are_refused() {
        for uri in [
            "/api/v1/namespaces/demo/pods/web-0/exec?command=sh",
            "/api/v1/namespaces/demo/pods/web-0/attach",
            "/api/v1/namespaces/demo/pods/web-0/portforward",
            "/api/v1/nodes/node1/proxy/run/demo/web-0/app",
            "/api/v1/namespaces/demo/services/web/proxy/",
            "/api/v1/namespaces/demo/secrets/token",
            "/api/v1/secrets",
        ] {
            assert!(!allowed(Method::GET, uri), "{uri}");
        }
    }
}
