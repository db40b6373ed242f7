//! Copies of what the API server has, kept up by watches and by nothing else: the answer to a write
//! can be older than what a watch has brought already. They stay as they are while the API server
//! cannot be reached.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{bell::Bell, cluster::Id, say};
use futures_util::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Event};

/// A copy of all objects of a kind, as far as the agent needs them.
pub struct Mirror<T> {
    state: Mutex<State<T>>,
    changed: Bell,
}

struct State<T> {
    items: BTreeMap<Id, T>,
    /// A list on its way.
    fresh: BTreeMap<Id, T>,
    is_ready: bool,
}

impl<T> Mirror<T> {
    /// `changed` is rung at every change.
    pub fn new(changed: &Bell) -> Self {
        Self {
            state: Mutex::new(State {
                items: BTreeMap::new(),
                fresh: BTreeMap::new(),
                is_ready: false,
            }),
            changed: changed.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing is left half done in there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been complete once.
    pub fn is_ready(&self) -> bool {
        self.state().is_ready
    }

    /// Works with the items as they are now.
    pub fn with<R>(&self, work: impl FnOnce(&BTreeMap<Id, T>) -> R) -> R {
        work(&self.state().items)
    }

    /// Keeps the copy up with a watch, for ever. `read` takes from an object what is needed.
    pub async fn follow<K: Debug>(
        &self,
        what: &str,
        watch: impl Stream<Item = Result<Event<K>, watcher::Error>>,
        read: impl Fn(K) -> Option<(Id, T)>,
    ) {
        let mut watch = std::pin::pin!(watch);
        let mut complaint = None;
        while let Some(event) = watch.next().await {
            match event {
                Ok(event) => {
                    if complaint.take().is_some() {
                        say(&format!("{what}: the API server is heard again"));
                    }
                    self.take(event, &read);
                }
                Err(error) => {
                    let words = error.to_string();
                    if complaint.as_ref() != Some(&words) {
                        say(&format!(
                            "{what}: {words}; what is known is kept, trying again"
                        ));
                        complaint = Some(words);
                    }
                }
            }
        }
    }

    /// Takes in what the watch said.
    fn take<K>(&self, event: Event<K>, read: impl Fn(K) -> Option<(Id, T)>) {
        let mut state = self.state();
        match event {
            Event::Init => state.fresh.clear(),
            Event::InitApply(object) => {
                let item = read(object);
                state.fresh.extend(item);
                return;
            }
            Event::InitDone => {
                state.items = std::mem::take(&mut state.fresh);
                state.is_ready = true;
            }
            Event::Apply(object) => {
                let item = read(object);
                state.items.extend(item);
            }
            Event::Delete(object) => {
                if let Some((id, _)) = read(object) {
                    state.items.remove(&id);
                }
            }
        }
        self.changed.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_replaces_what_was_there_and_events_change_it() {
        let mirror: Mirror<u32> = Mirror::new(&Bell::default());
        let read = |(name, value): (&str, u32)| {
            let name = name.to_owned();
            let id = Id {
                name,
                ..Id::default()
            };
            Some((id, value))
        };
        let values = || mirror.with(|items| items.values().copied().collect::<Vec<_>>());
        mirror.take(Event::Init, read);
        mirror.take(Event::InitApply(("a", 1)), read);
        assert!(!mirror.is_ready() && values().is_empty());
        mirror.take(Event::InitApply(("b", 2)), read);
        mirror.take(Event::InitDone, read);
        assert!(mirror.is_ready());
        assert_eq!(values(), [1, 2]);
        mirror.take(Event::Apply(("a", 3)), read);
        mirror.take(Event::Delete(("b", 2)), read);
        assert_eq!(values(), [3]);
        // A new list that is not complete yet hides nothing.
        mirror.take(Event::Init, read);
        assert_eq!(values(), [3]);
        mirror.take(Event::InitDone, read);
        assert!(values().is_empty());
    }
}
