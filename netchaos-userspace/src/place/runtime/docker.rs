//! The API of Docker Engine, which Podman's service speaks too: `GET /containers/json`.
//!
//! Without a version in the path the newest one is meant that the engine has; the fields used here
//! are in all of them since 1.23 (Docker 1.11).

use std::{io, path::Path};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{Container, Error};

/// A node with a thousand containers answers with some 2 MB.
const LONGEST: usize = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Vec<String>,
    state: String,
}

/// All containers, those that do not run too.
pub(super) async fn containers(socket: &Path) -> Result<Vec<Container>, Error> {
    let answer = get(socket, "/containers/json?all=true").await?;
    let listed: Vec<Listed> = serde_json::from_slice(&answer).map_err(|error| {
        Error::Answer(format!("something else than a list of containers: {error}"))
    })?;
    Ok(listed.into_iter().map(Container::from).collect())
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        let plain = |name: String| name.strip_prefix('/').map(str::to_owned).unwrap_or(name);
        Self {
            id: listed.id,
            names: listed.names.into_iter().map(plain).collect(),
            // One that is paused has its processes and its namespaces.
            runs: matches!(&*listed.state, "running" | "paused"),
            state: listed.state,
        }
    }
}

async fn get(socket: &Path, path: &str) -> Result<Bytes, Error> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(Error::of_connect)?;
    let broken = |error: hyper::Error| Error::Connect(io::Error::other(error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with the connection, whose errors the request has too.
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Error::Connect(io::Error::other(error)))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    driver.abort();
    let body = body
        .map_err(|error| Error::Connect(io::Error::other(error)))?
        .to_bytes();
    if status.is_success() {
        Ok(body)
    } else {
        let words = String::from_utf8_lossy(&body);
        Err(Error::Answer(format!("{status}: {}", words.trim())))
    }
}
