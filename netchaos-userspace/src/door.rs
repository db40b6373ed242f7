//! The agent's local door: how the command line and the agent of a node speak with each other.
//!
//! A connection to the socket is one question and one answer, each a line of JSON. The state of
//! faults lies in the kernel for both of them; the door is for those who may not enter a pod
//! themselves, and for names of pods, which the agent knows.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Listed, Written},
    experiment::Target,
};

/// Where the agent listens.
pub const SOCKET: &str = "/run/netchaos/agent.sock";
/// Says of another socket, or by an empty value of none.
const VARIABLE: &str = "NETCHAOS_SOCKET";
/// Raised when a question or an answer changes its meaning.
pub const VERSION: u32 = 1;
/// A question or answer is not longer: a hundred thousand targets are a few megabytes.
pub const LONGEST: u64 = 64 << 20;
/// A write waits for the lock of the namespace and for packets to leave.
const PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    pub version: u32,
    /// `NAMESPACE/NAME`, of this node.
    pub pod: String,
    pub ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// The uid of the pod.
    Uid,
    List,
    AddTargets {
        name: String,
        targets: Vec<Target>,
    },
    RemoveTargets {
        name: String,
        targets: Vec<Target>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    Uid(String),
    Listed {
        listed: Vec<Listed>,
        remains: Vec<String>,
    },
    Written(Written),
    /// No pod of that name is on the node.
    UnknownPod,
    /// With the exit code of the command line.
    Failed {
        exit: u8,
        message: String,
    },
}

/// Asks the agent of this node. None where there is no agent that could be asked: the caller then
/// does itself what it can.
pub fn ask(pod: &str, ask: Ask) -> Option<Answer> {
    let socket = env::var_os(VARIABLE).map_or_else(|| SOCKET.into(), PathBuf::from);
    let question = Question {
        version: VERSION,
        pod: pod.to_owned(),
        ask,
    };
    // Nobody there, no right to connect, another version, gone in the middle: all the same.
    exchange(&socket, &question).ok()
}

fn exchange(socket: &Path, question: &Question) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(question)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
