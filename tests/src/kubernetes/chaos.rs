//! `NetworkChaos` objects, by kubectl as a user has it.

use std::{collections::BTreeMap, thread};

use serde_json::{Value, json};

use super::{apply, example, get, kubectl, wait_until};

/// An object, deleted when dropped.
pub struct Chaos {
    namespace: String,
    name: String,
    /// `networkchaos.GROUP`.
    resource: String,
}

/// The group that `deploy/` has.
const GROUP: &str = "chaos-mesh.org";

impl Chaos {
    /// # Panics
    /// When the API server refuses it.
    #[track_caller]
    pub fn apply(namespace: &str, name: &str, spec: &Value) -> Self {
        Self::apply_with(namespace, name, &[], spec)
    }

    /// As [`Self::apply`], with annotations.
    ///
    /// # Panics
    /// As [`Self::apply`].
    #[track_caller]
    pub fn apply_with(
        namespace: &str,
        name: &str,
        annotations: &[(&str, &str)],
        spec: &Value,
    ) -> Self {
        Self::apply_of(GROUP, namespace, name, annotations, spec)
    }

    /// As [`Self::apply_with`], of another API group.
    ///
    /// # Panics
    /// As [`Self::apply`].
    #[track_caller]
    pub fn apply_of(
        group: &str,
        namespace: &str,
        name: &str,
        annotations: &[(&str, &str)],
        spec: &Value,
    ) -> Self {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let object = json!({
            "apiVersion": format!("{group}/v1alpha1"),
            "kind": "NetworkChaos",
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
            "spec": spec,
        });
        apply(&object.to_string());
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            resource: format!("networkchaos.{group}"),
        }
    }

    /// Applies `examples/kubernetes/NAME.yaml`, which is one object of that name.
    ///
    /// # Panics
    /// When the API server refuses it.
    #[track_caller]
    pub fn example(name: &str) -> Self {
        let file = example(name).display().to_string();
        let applied = kubectl(&["apply", "--output=json", "--filename", &file])
            .ok()
            .json();
        let namespace = applied["metadata"]["namespace"].as_str();
        Self {
            namespace: namespace
                .expect("a NetworkChaos is in a namespace")
                .to_owned(),
            name: name.to_owned(),
            resource: format!("networkchaos.{GROUP}"),
        }
    }

    fn args<'a>(&'a self, verb: &'a str) -> [&'a str; 5] {
        [
            verb,
            &self.resource,
            &self.name,
            "--namespace",
            &self.namespace,
        ]
    }

    /// Its status.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn status(&self) -> Value {
        get(&self.args("get")[1..])["status"].take()
    }

    /// Waits until its state is this one, and all agents have said so.
    ///
    /// # Panics
    /// When it does not get so.
    #[track_caller]
    pub fn wait_for(&self, state: &str) {
        wait_until(&format!("{} is {state}", self.name), || {
            let status = self.status();
            if status["netchaos"]["state"] == state {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
    }

    /// Waits until its fault is in so many pods, which are all that were chosen.
    ///
    /// # Panics
    /// When it does not get so.
    #[track_caller]
    pub fn wait_until_injected(&self, pods: usize) {
        let injected = format!("{pods}/{pods}");
        wait_until(&format!("{} is in {injected} pods", self.name), || {
            let status = self.status();
            let own = &status["netchaos"];
            if own["state"] == "Injected" && own["injected"] == injected {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
    }

    /// Deletes it, and waits until it is gone: until its fault is.
    ///
    /// # Panics
    /// When it does not go.
    #[track_caller]
    pub fn delete(self) {
        self.try_delete().ok();
        std::mem::forget(self);
    }

    /// Asks for it to go, and waits for nothing.
    ///
    /// # Panics
    /// When the API server refuses that.
    #[track_caller]
    pub fn ask_to_go(&self) {
        kubectl(&[&self.args("delete")[..], &["--wait=false"]].concat()).ok();
    }

    /// Whether it is there still.
    pub fn is_there(&self) -> bool {
        let args = [&self.args("get")[..], &["--ignore-not-found"]].concat();
        !kubectl(&args).ok().stdout.is_empty()
    }

    /// Waits until it is gone, after [`Self::ask_to_go`].
    ///
    /// # Panics
    /// When it does not go.
    #[track_caller]
    pub fn wait_until_gone(self) {
        wait_until(&format!("{} is gone", self.name), || {
            if self.is_there() {
                Err("it is still there".to_owned())
            } else {
                Ok(())
            }
        });
        std::mem::forget(self);
    }

    /// The reasons of the events about it, each as often as it happened, and their notes.
    ///
    /// # Panics
    /// When there are no events.
    #[track_caller]
    pub fn events(&self) -> Vec<(String, String)> {
        let about = format!("--field-selector=involvedObject.name={}", self.name);
        let events = get(&["events", "--namespace", &self.namespace, &about]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let event = |event: &Value| (text(&event["reason"]), text(&event["message"]));
        let items = events["items"].as_array().expect("a list");
        items.iter().map(event).collect()
    }

    /// Its one record of a pod.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[track_caller]
    pub fn record(&self, pod: &str) -> Value {
        let status = self.status();
        let id = format!("{}/{pod}", self.namespace);
        let records = status["experiment"]["containerRecords"].as_array();
        let of_pod = |record: &&Value| record["id"] == id && record["selectorKey"] == ".";
        let records: Vec<&Value> = records.into_iter().flatten().filter(of_pod).collect();
        match records[..] {
            [record] => record.clone(),
            _ => panic!("not one record of {id}: {status}"),
        }
    }

    /// Whether one of its conditions holds.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn is(&self, condition: &str) -> bool {
        let status = self.status();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let mut its = conditions.filter(|one| one["type"] == condition);
        let its = its
            .next()
            .unwrap_or_else(|| panic!("no {condition}: {status}"));
        its["status"] == "True"
    }

    fn try_delete(&self) -> crate::command::Done {
        kubectl(
            &[
                &self.args("delete")[..],
                &["--timeout=30s", "--ignore-not-found"],
            ]
            .concat(),
        )
    }

    /// Annotates it; a value that ends in `-` takes the annotation away.
    ///
    /// # Panics
    /// When the API server refuses that.
    #[track_caller]
    pub fn annotate(&self, annotation: &str) {
        kubectl(&[&self.args("annotate")[..], &[annotation, "--overwrite"]].concat()).ok();
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        let done = self.try_delete();
        if thread::panicking() {
            eprintln!("{done}");
        } else {
            done.ok();
        }
    }
}
