//! The server in process: no socket, and no time but the one that is told.

use super::*;
use crate::object::Object;
use crate::resources::ids;
use http_body_util::Full;
use serde_json::{Value, json};
use tower::Service as _;

fn server() -> Server {
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut cluster = Cluster::empty(1, start);
    let row = cluster.resources.get(ids::NAMESPACES).clone();
    let namespace = Object::new(&row, "", "shop");
    cluster.create(ids::NAMESPACES, namespace).unwrap();
    cluster.add_administrator("secret");
    Server::new(cluster, Time::Virtual)
}

async fn send(server: &Server, method: &str, url: &str, body: Vec<u8>) -> Response<Body> {
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", "Bearer secret")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    server.clone().call(request).await.unwrap()
}

async fn json(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

async fn event(body: &mut Body) -> Option<Value> {
    let frame = body.frame().await?.unwrap();
    serde_json::from_slice(&frame.into_data().unwrap()).ok()
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/shop/configmaps";

#[tokio::test(start_paused = true)]
async fn a_watch_wakes_at_a_write_and_ends_at_its_time() {
    let server = server();
    let url = format!("{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=90");
    let mut watch = send(&server, "GET", &url, Vec::new()).await.into_body();
    let writer = server.clone();
    let write = async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let body = json!({"metadata": {"name": "a"}}).to_string().into_bytes();
        let response = send(&writer, "POST", CONFIG_MAPS, body).await;
        assert_eq!(response.status(), 201);
    };
    let (first, ()) = tokio::join!(event(&mut watch), write);
    assert_eq!(first.unwrap()["type"], "ADDED");
    for _ in 0..2 {
        assert_eq!(event(&mut watch).await.unwrap()["type"], "BOOKMARK");
    }
    assert!(event(&mut watch).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_ends_its_watches() {
    let server = server();
    let url = format!("{CONFIG_MAPS}?watch=1");
    let mut watch = send(&server, "GET", &url, Vec::new()).await.into_body();
    server.stop();
    assert!(event(&mut watch).await.is_none());
}

#[tokio::test]
async fn a_body_of_more_than_three_mebibytes_is_refused() {
    let server = server();
    let response = send(&server, "POST", CONFIG_MAPS, vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(response.status(), 413);
    assert_eq!(json(response).await["reason"], "RequestEntityTooLarge");
}

#[tokio::test]
async fn a_long_list_comes_in_pieces_and_whole() {
    let server = server();
    server.with(|cluster| {
        for number in 0..1_000 {
            let value = json!({"metadata": {"name": format!("n{number:04}"), "namespace": "shop"},
                "data": {"text": "x".repeat(300)}});
            let object = Object::from_value(value).unwrap();
            cluster.create(ids::CONFIGMAPS, object).unwrap();
        }
    });
    for accept in [
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    ] {
        let request = http::Request::get(CONFIG_MAPS)
            .header("authorization", "Bearer secret")
            .header("accept", accept)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let mut body = server.clone().call(request).await.unwrap().into_body();
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        assert!(pieces.len() > 1, "{accept}");
        let list: Value = serde_json::from_slice(&pieces.concat()).unwrap();
        let items = list.get("items").or(list.get("rows")).unwrap();
        let names: Vec<_> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.get("object").unwrap_or(one)["metadata"]["name"].clone())
            .collect();
        let wanted: Vec<_> = (0..1_000)
            .map(|number| json!(format!("n{number:04}")))
            .collect();
        assert_eq!(names, wanted, "{accept}");
    }
}

#[tokio::test]
async fn virtual_time_goes_when_it_is_told() {
    let server = server();
    let before = server.with(|cluster| cluster.now());
    let response = send(&server, "POST", "/sim/advance?seconds=60", Vec::new()).await;
    assert_eq!(response.status(), 200);
    let after = server.with(|cluster| cluster.now());
    assert_eq!(after, later(before, Duration::from_mins(1)));
    let wrong = send(&server, "POST", "/sim/advance?seconds=x", Vec::new()).await;
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn a_kubeconfig_names_what_listens() {
    let server = server();
    let address = "127.0.0.1:0".parse().unwrap();
    let (listening, _serving) = server.listen(address, true).await.unwrap();
    let config: Value = serde_json::from_str(&kubeconfig(&listening, "secret")).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], listening.url());
    assert!(listening.url().starts_with("https://127.0.0.1:"));
    assert!(
        cluster["certificate-authority-data"]
            .as_str()
            .unwrap()
            .starts_with("LS0tLS1CRUdJTiBDRVJU")
    );
}
