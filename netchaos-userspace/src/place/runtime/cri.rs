//! The Container Runtime Interface, by which a kubelet talks to containerd, CRI-O and others: gRPC
//! service `runtime.v1.RuntimeService` (k8s.io/cri-api, pkg/apis/runtime/v1/api.proto).
//!
//! Of its hundred messages three lists are needed. Their fields stand here by their numbers, so
//! that building netchaos takes no compiler of protocol buffers.

use std::{error::Error as _, io, path::Path};

use hyper::http::uri::PathAndQuery;
use prost::Message;
use tonic::{Request, Status, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use super::{Container, Error};

/// A pod's sandbox as a runtime lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub is_ready: bool,
    /// Unix time in nanoseconds.
    pub created: i64,
}

impl Sandbox {
    /// As a person names the pod.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A list request whose filter is left out: everything.
#[derive(Clone, PartialEq, Message)]
struct All {}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    state: i32,
    #[prost(int64, tag = "4")]
    created_at: i64,
}

/// `SANDBOX_READY`; the other is `SANDBOX_NOTREADY`.
const SANDBOX_READY: i32 = 0;

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<ListedContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct ListedContainer {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "6")]
    state: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

/// All sandboxes, those that do not run any more too.
pub(super) async fn sandboxes(socket: &Path) -> Result<Vec<Sandbox>, Error> {
    let response: ListPodSandboxResponse = list(socket, "ListPodSandbox").await?;
    Ok(response.items.into_iter().map(Sandbox::from).collect())
}

impl From<PodSandbox> for Sandbox {
    fn from(listed: PodSandbox) -> Self {
        let metadata = listed.metadata.unwrap_or_default();
        Self {
            id: listed.id,
            uid: metadata.uid,
            namespace: metadata.namespace,
            name: metadata.name,
            is_ready: listed.state == SANDBOX_READY,
            created: listed.created_at,
        }
    }
}

/// All containers, those that do not run any more too. Their names are unique in a pod alone.
pub(super) async fn containers(socket: &Path) -> Result<Vec<Container>, Error> {
    let response: ListContainersResponse = list(socket, "ListContainers").await?;
    Ok(response
        .containers
        .into_iter()
        .map(Container::from)
        .collect())
}

impl From<ListedContainer> for Container {
    fn from(listed: ListedContainer) -> Self {
        let state = match listed.state {
            0 => "created",
            1 => "running",
            2 => "exited",
            _ => "unknown",
        };
        Self {
            id: listed.id,
            names: listed
                .metadata
                .map(|metadata| metadata.name)
                .into_iter()
                .collect(),
            state: state.into(),
            runs: state == "running",
        }
    }
}

async fn list<T: Message + Default + 'static>(socket: &Path, method: &str) -> Result<T, Error> {
    // tonic says no more than "transport error" of a socket that is not there.
    std::fs::metadata(socket).map_err(Error::of_connect)?;
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
        .map_err(|error| Error::Connect(io::Error::other(error)))?;
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| Error::Connect(io_error(error)))?;
    let path = format!("/runtime.v1.RuntimeService/{method}");
    let path = PathAndQuery::try_from(path).expect("a method's name is letters");
    // gRPC's own bound on a message, 4 MB, is that of a node with some thousand containers.
    let mut grpc = Grpc::new(channel).max_decoding_message_size(64 << 20);
    let answer =
        |status: Status| Error::Answer(format!("{:?}: {}", status.code(), status.message()));
    let not_ready = |error| Error::Connect(io_error(error));
    grpc.ready().await.map_err(not_ready)?;
    let codec = ProstCodec::<All, T>::default();
    let response = grpc.unary(Request::new(All {}), path, codec).await;
    Ok(response.map_err(answer)?.into_inner())
}

/// The kernel's own error, which tonic has as the source of a source.
fn io_error(error: tonic::transport::Error) -> io::Error {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            return match found.raw_os_error() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => io::Error::new(found.kind(), found.to_string()),
            };
        }
        source = inner.source();
    }
    io::Error::other(error)
}
