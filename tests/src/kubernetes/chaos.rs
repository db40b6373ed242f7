//! `NetworkChaos` objects, by kubectl as a user has it.

use std::{collections::BTreeMap, thread};

use serde_json::{Value, json};

use super::{apply, example, get, kubectl, wait_until};

/// An object, deleted when dropped.
pub struct Chaos {
    namespace: String,
    name: String,
}

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
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let object = json!({
            "apiVersion": "chaos-mesh.org/v1alpha1",
            "kind": "NetworkChaos",
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
            "spec": spec,
        });
        apply(&object.to_string());
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
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
        }
    }

    fn args<'a>(&'a self, verb: &'a str) -> [&'a str; 5] {
        [
            verb,
            "networkchaos",
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
        self.wait_for("Injected");
        let status = self.status();
        assert_eq!(
            status["netchaos"]["injected"],
            format!("{pods}/{pods}"),
            "{status}"
        );
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

    /// Waits until it is gone, after somebody else has deleted it.
    ///
    /// # Panics
    /// When it does not go.
    #[track_caller]
    pub fn wait_until_gone(self) {
        wait_until(&format!("{} is gone", self.name), || {
            let done = kubectl(&self.args("get"));
            if done.stderr.contains("NotFound") {
                Ok(())
            } else {
                Err(done.to_string())
            }
        });
        std::mem::forget(self);
    }

    fn try_delete(&self) -> crate::command::Done {
        kubectl(&[&self.args("delete")[..], &["--timeout=30s"]].concat())
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
