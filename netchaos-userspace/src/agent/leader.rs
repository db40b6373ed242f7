//! The one agent that chooses pods, works out whom a fault is aimed at, and writes the status.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DynamicObject,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde_json::{Value, json};

use super::{
    Settings,
    bell::Bell,
    chaos::{CHAOS_MESH, Chaos, FINALIZER},
    cluster::{Cluster, Id},
    decide::{Now, Step, Tiding, decide},
    mirror::Mirror,
    say, watches,
};

/// Events that come together are answered together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Everything is looked at again after this, whatever the watches say.
const SOMETIMES: Duration = Duration::from_secs(30);

pub struct Leader<'a> {
    client: Client,
    settings: &'a Settings,
    chaoses: &'a Mirror<Chaos>,
    changed: Bell,
    recorder: Recorder,
}

impl<'a> Leader<'a> {
    /// `changed` is what `chaoses` rings.
    pub fn new(
        client: Client,
        settings: &'a Settings,
        chaoses: &'a Mirror<Chaos>,
        changed: &Bell,
    ) -> Self {
        let reporter = Reporter {
            controller: "netchaos".into(),
            instance: Some(settings.node.clone()),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            settings,
            chaoses,
            changed: changed.clone(),
        }
    }

    /// Leads, until it is dropped.
    pub async fn lead(&self) {
        let pods = Mirror::new(&self.changed);
        let services = Mirror::new(&self.changed);
        let nodes = Mirror::new(&self.changed);
        let client = || self.client.clone();
        let work = async {
            let mut wait = SOMETIMES;
            let mut changes = self.changed.listen();
            loop {
                tokio::select! {
                    () = changes.rung() => tokio::time::sleep(TOGETHER).await,
                    () = tokio::time::sleep(wait) => {}
                }
                let is_ready = self.chaoses.is_ready()
                    && pods.is_ready()
                    && services.is_ready()
                    && nodes.is_ready();
                if !is_ready {
                    continue;
                }
                let cluster = Cluster {
                    pods: pods.with(Clone::clone),
                    services: services.with(Clone::clone),
                    nodes: nodes.with(Clone::clone),
                };
                self.go_round(&cluster).await;
                wait = self.until_next_end();
            }
        };
        tokio::join!(
            watches::pods(client(), None, &pods),
            watches::services(client(), &services),
            watches::nodes(client(), &nodes),
            work,
        );
    }

    /// Does for each object what comes next.
    async fn go_round(&self, cluster: &Cluster) {
        let chaos_mesh = cluster.chaos_mesh();
        let chaos_mesh = chaos_mesh.filter(|_| self.settings.group == CHAOS_MESH);
        let obstacle = chaos_mesh.map(|pod| {
            format!(
                "Chaos Mesh's own controller is at work here, pod {pod}, and would act on the \
                 same objects; take it away, or give netchaos a group of its own (--group)"
            )
        });
        let now = now();
        for chaos in self
            .chaoses
            .with(|all| all.values().cloned().collect::<Vec<_>>())
        {
            let step = decide(&chaos, cluster, obstacle.as_deref(), &now, &mut rand::rng());
            if let Err(error) = self.take(&chaos, step).await {
                // Somebody was faster, and we hear of it; or it is gone.
                let is_news = !matches!(&error, kube::Error::Api(status) if [404, 409].contains(&status.code));
                if is_news {
                    say(&format!("NetworkChaos {}: {error}", chaos.id));
                }
            }
        }
    }

    async fn take(&self, chaos: &Chaos, step: Step) -> Result<(), kube::Error> {
        let api = api(&self.client, self.settings, &chaos.id);
        // What was decided holds for the object that was seen, and for no other.
        let seen = |mut body: Value| {
            body["metadata"]["resourceVersion"] = json!(chaos.resource_version);
            Patch::Merge(body)
        };
        let name = &chaos.id.name;
        let params = PatchParams::default();
        match step {
            Step::Nothing => {}
            Step::AddFinalizer => {
                let finalizers = chaos.finalizers.iter().map(String::as_str);
                let finalizers: Vec<&str> = finalizers.chain([FINALIZER]).collect();
                let body = json!({"metadata": {"finalizers": finalizers}});
                api.patch(name, &params, &seen(body)).await?;
            }
            Step::RemoveFinalizer => {
                let others = chaos.finalizers.iter().filter(|name| *name != FINALIZER);
                let body = json!({"metadata": {"finalizers": others.collect::<Vec<_>>()}});
                api.patch(name, &params, &seen(body)).await?;
                let note = "no pod has the fault any more".to_owned();
                self.tell(
                    chaos,
                    vec![Tiding {
                        is_warning: false,
                        reason: "Recovered",
                        note,
                    }],
                )
                .await;
            }
            Step::Write(status, tidings) => {
                let mut body = json!({"status": &status});
                // Each agent writes its own; what goes is that of nodes that are gone.
                let gone = chaos.status.netchaos.nodes.keys();
                let gone = gone.filter(|node| !status.netchaos.nodes.contains_key(*node));
                body["status"]["netchaos"]["nodes"] =
                    gone.map(|node| (node.clone(), Value::Null)).collect();
                api.patch_status(name, &params, &seen(body)).await?;
                self.tell(chaos, tidings).await;
            }
        }
        Ok(())
    }

    /// Events are for people: that one cannot be written stops nothing.
    async fn tell(&self, chaos: &Chaos, tidings: Vec<Tiding>) {
        let mut reference = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(format!("{}/v1alpha1", self.settings.group)),
            kind: Some("NetworkChaos".into()),
            ..Default::default()
        };
        reference.namespace = Some(chaos.id.namespace.clone());
        reference.name = Some(chaos.id.name.clone());
        reference.uid = Some(chaos.uid.clone());
        for tiding in tidings {
            say(&format!("{}: {}: {}", chaos.id, tiding.reason, tiding.note));
            let event = Event {
                type_: if tiding.is_warning {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: tiding.reason.into(),
                note: Some(tiding.note),
                action: tiding.reason.into(),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, &reference).await {
                say(&format!(
                    "{}: an event could not be written: {error}",
                    chaos.id
                ));
            }
        }
    }

    fn until_next_end(&self) -> Duration {
        let now = SystemTime::now();
        let left = |chaos: &Chaos| chaos.left(now).filter(|left| !left.is_zero());
        let next = self.chaoses.with(|all| all.values().filter_map(left).min());
        next.map_or(SOMETIMES, |next| next.min(SOMETIMES))
    }
}

/// The objects of a namespace.
pub fn api(client: &Client, settings: &Settings, id: &Id) -> Api<DynamicObject> {
    let resource = watches::chaos_resource(&settings.group);
    Api::namespaced_with(client.clone(), &id.namespace, &resource)
}

/// The time, as the status writes it too.
pub fn now() -> Now {
    let stamp = Timestamp::now();
    Now {
        time: stamp.into(),
        stamp: stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}
