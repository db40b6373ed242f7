//! A pod's namespace brought to what the objects ask.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use super::cluster::Id;
use crate::{
    engine::{self, Holding, Until},
    experiment::Experiment,
    place::Place,
};

/// A fault that a pod shall have.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The object that asks for it.
    pub chaos: Id,
    pub uid: String,
    pub experiment: Experiment,
    /// None where it lasts until it is taken away.
    pub ends: Option<SystemTime>,
}

/// What became of a pod's orders.
pub struct Brought {
    /// For each, the object's id and why it could not be followed.
    pub outcomes: Vec<(Id, Result<(), String>)>,
    /// None where nothing is ordered and nothing there.
    pub place: Option<Place>,
}

/// Gives a pod the faults that are ordered, and takes all others away that an agent gave it.
///
/// # Errors
/// The pod's namespace cannot be found or entered, or a fault could not be taken away: what is
/// there is not known then.
pub fn bring(
    uid: &str,
    orders: &[Order],
    lease: Duration,
    allow_host_network: bool,
) -> Result<Brought, String> {
    let place = match Place::of_pod(uid, allow_host_network) {
        Ok(place) => place,
        // What is not there has no fault.
        Err(_) if orders.is_empty() => {
            return Ok(Brought {
                outcomes: Vec::new(),
                place: None,
            });
        }
        Err(error) => return Err(error.to_string()),
    };
    let holders: BTreeSet<String> = orders.iter().map(|order| order.uid.clone()).collect();
    let work = engine::inside(&place, async |session| {
        session.release_but(&holders).await?;
        let mut outcomes = Vec::new();
        for order in orders {
            let outcome = session.hold(&holding(order, lease)).await;
            let outcome = outcome.map(drop).map_err(|error| error.with_sources());
            outcomes.push((order.chaos.clone(), outcome));
        }
        Ok(outcomes)
    });
    let outcomes = work.map_err(|error| error.with_sources())?;
    Ok(Brought {
        outcomes,
        place: Some(place),
    })
}

fn holding(order: &Order, lease: Duration) -> Holding {
    let left = |end: SystemTime| end.duration_since(SystemTime::now()).unwrap_or_default();
    Holding {
        experiment: order.experiment.clone(),
        holder: order.uid.clone(),
        until: match order.ends {
            Some(end) => Until::In(left(end)),
            None => Until::Lease(lease),
        },
    }
}
