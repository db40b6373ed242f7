//! What of the command line the agent of this node does where there is one: it knows the pods, and
//! it may be asked by those who may not enter them.

use super::{Failure, Shape, args};
use crate::{
    door::{self, Answer, Ask},
    engine::{Listed, Written},
    experiment::Target,
    place::{PodName, Where},
};

/// The experiments of a pod, and what lies about there.
pub type Found = (Vec<Listed>, Vec<String>);

/// None where no agent can answer, for this and the next.
pub fn list(place: &args::Place) -> Option<Result<Found, Failure>> {
    match ask(place, Ask::List)? {
        Ok(Answer::Listed { listed, remains }) => Some(Ok((listed, remains))),
        Ok(_) => None,
        Err(failure) => Some(Err(failure)),
    }
}

pub fn target(
    place: &args::Place,
    name: &str,
    targets: &[Target],
    adds: bool,
) -> Option<Result<Written, Failure>> {
    let (name, targets) = (name.to_owned(), targets.to_vec());
    let question = if adds {
        Ask::AddTargets { name, targets }
    } else {
        Ask::RemoveTargets { name, targets }
    };
    match ask(place, question)? {
        Ok(Answer::Written(written)) => Some(Ok(written)),
        Ok(_) => None,
        Err(failure) => Some(Err(failure)),
    }
}

/// The pod by its uid, which the agent may know where no runtime could be asked.
pub fn wanted(place: &args::Place) -> Option<Where> {
    match ask(place, Ask::Uid)? {
        Ok(Answer::Uid(uid)) => Some(Where::Pod {
            name: PodName::Uid(uid),
            host_network: place.host_network,
        }),
        _ => None,
    }
}

fn ask(place: &args::Place, ask: Ask) -> Option<Result<Answer, Failure>> {
    // A uid the kernel knows as well; and whether the host's network is allowed is for the
    // agent's owner to say.
    let Some(name @ PodName::Named { .. }) = &place.pod else {
        return None;
    };
    match door::ask(&name.to_string(), ask)? {
        Answer::UnknownPod => None,
        Answer::Failed { exit, message } => {
            let shape = match exit {
                3 => Shape::Lacking,
                4 => Shape::Partly,
                _ => Shape::Refused,
            };
            Some(Err(Failure::new(shape, message)))
        }
        answer => Some(Ok(answer)),
    }
}
