//! A kubelet's part of the CRI, as far as the tests play a kubelet (k8s.io/cri-api,
//! pkg/apis/runtime/v1/api.proto).

use std::path::Path;

use prost::Message;
use tonic::{Request, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

/// A pod as a kubelet asks for it.
#[derive(Clone, PartialEq, Message)]
pub struct PodConfig {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<PodMetadata>,
    #[prost(message, optional, tag = "8")]
    pub linux: Option<LinuxPod>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PodMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub uid: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LinuxPod {
    #[prost(string, tag = "1")]
    pub cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    pub security: Option<PodSecurity>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PodSecurity {
    #[prost(message, optional, tag = "1")]
    pub namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Namespaces {
    /// 0 is the pod's own, 2 the node's.
    #[prost(int32, tag = "1")]
    pub network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct RunPod {
    #[prost(message, optional, tag = "1")]
    config: Option<PodConfig>,
}

/// The one field of many requests and responses: the id of a pod's sandbox, or of a container.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    pod: Option<PodConfig>,
}

/// A container as a kubelet asks for it.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    pub image: Option<Image>,
    #[prost(message, repeated, tag = "7")]
    pub mounts: Vec<Mount>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(string, tag = "1")]
    pub image: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Mount {
    #[prost(string, tag = "1")]
    pub container_path: String,
    #[prost(string, tag = "2")]
    pub host_path: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// A connection to a runtime's CRI.
pub struct Cri {
    runtime: tokio::runtime::Runtime,
    grpc: Grpc<tonic::transport::Channel>,
}

impl Cri {
    /// # Panics
    /// When nobody serves the socket.
    pub fn connect(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
        let channel = runtime
            .block_on(endpoint.expect("a path").connect())
            .unwrap_or_else(|error| panic!("{}: {error:?}", socket.display()));
        Self {
            runtime,
            grpc: Grpc::new(channel),
        }
    }

    #[track_caller]
    fn call<Q, A>(&mut self, method: &str, request: Q) -> A
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let path = format!("/runtime.v1.RuntimeService/{method}");
        let path = path.parse().expect("a method's name is letters");
        let codec = ProstCodec::<Q, A>::default();
        let grpc = &mut self.grpc;
        let answer = self.runtime.block_on(async {
            grpc.ready().await.expect("containerd runs");
            grpc.unary(Request::new(request), path, codec).await
        });
        answer
            .unwrap_or_else(|status| panic!("{method}: {status:?}"))
            .into_inner()
    }

    /// The id of the new sandbox.
    ///
    /// # Panics
    /// When the runtime refuses. So do all that follow.
    #[track_caller]
    pub fn run_pod(&mut self, config: &PodConfig) -> String {
        let config = Some(config.clone());
        self.call::<_, Id>("RunPodSandbox", RunPod { config }).id
    }

    /// Stops the pod and takes it away.
    ///
    /// # Panics
    /// See [`Self::run_pod`].
    #[track_caller]
    pub fn remove_pod(&mut self, sandbox: &str) {
        self.stop_pod(sandbox);
        let id = sandbox.into();
        let Nothing {} = self.call("RemovePodSandbox", Id { id });
    }

    /// Stops the pod, of which the runtime still knows then.
    ///
    /// # Panics
    /// See [`Self::run_pod`].
    #[track_caller]
    pub fn stop_pod(&mut self, sandbox: &str) {
        let id = sandbox.into();
        let Nothing {} = self.call("StopPodSandbox", Id { id });
    }

    /// Starts a container in a sandbox and gives back its id.
    ///
    /// # Panics
    /// See [`Self::run_pod`].
    #[track_caller]
    pub fn start_container(
        &mut self,
        sandbox: &str,
        pod: &PodConfig,
        config: ContainerConfig,
    ) -> String {
        let create = CreateContainer {
            sandbox: sandbox.into(),
            config: Some(config),
            pod: Some(pod.clone()),
        };
        let Id { id } = self.call("CreateContainer", create);
        let Nothing {} = self.call("StartContainer", Id { id: id.clone() });
        id
    }

    /// Kills a container at once. The runtime still knows of it then.
    ///
    /// # Panics
    /// See [`Self::run_pod`].
    #[track_caller]
    pub fn stop_container(&mut self, id: &str) {
        // Without a time-out: at once.
        let Nothing {} = self.call("StopContainer", Id { id: id.into() });
    }
}
