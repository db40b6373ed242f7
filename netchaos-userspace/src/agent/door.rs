//! The agent's end of the local door, see [`crate::door`].

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use super::{Shared, cluster::Id, say};
use crate::{
    door::{Answer, Ask, LONGEST, Question, VERSION},
    engine,
    place::Place,
};

/// Whoever else comes waits.
const GUESTS: usize = 4;
/// A guest has this long to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the door for root, and for a group where there is one.
///
/// # Errors
/// Another agent listens there, or the socket cannot be made.
pub fn open(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("socket {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(named)?;
    }
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let error = io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there");
            return Err(named(error));
        }
        // Of an agent that was killed.
        fs::remove_file(path).map_err(named)?;
    }
    let listener = UnixListener::bind(path).map_err(named)?;
    chown(path, None, group).map_err(named)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(named)?;
    Ok(listener)
}

/// Serves for ever.
pub async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(GUESTS));
    loop {
        // The semaphore is never closed.
        let Ok(ticket) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Err(error) = serve_one(stream, shared).await {
                        say(&format!("socket: {error}"));
                    }
                    drop(ticket);
                });
            }
            Err(error) => {
                say(&format!("socket: {error}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve_one(mut stream: UnixStream, shared: Arc<Shared>) -> io::Result<()> {
    let guest = stream.peer_cred()?;
    let mut line = String::new();
    let mut reader = BufReader::new((&mut stream).take(LONGEST));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "a guest asked nothing"))??;
    // The file's mode keeps out who is neither root nor of the group; whoever was let in through
    // an inherited descriptor is not asked in.
    let is_welcome = guest.uid() == 0
        || guest.uid() == nix::unistd::geteuid().as_raw()
        || shared.settings.socket_group.is_some();
    let answer = match serde_json::from_str::<Question>(&line) {
        _ if !is_welcome => failed("only root may ask; the agent has no --socket-group"),
        Err(error) => failed(&format!("the question is not understood: {error}")),
        Ok(question) if question.version != VERSION => {
            failed("the agent is of another version of netchaos")
        }
        Ok(question) => {
            if let Ask::AddTargets { name, targets } | Ask::RemoveTargets { name, targets } =
                &question.ask
            {
                let verb = if matches!(question.ask, Ask::AddTargets { .. }) {
                    "adds"
                } else {
                    "removes"
                };
                say(&format!(
                    "socket: uid {} (pid {}) {verb} {} targets of {name} in pod {}",
                    guest.uid(),
                    guest.pid().unwrap_or_default(),
                    targets.len(),
                    question.pod
                ));
            }
            let work = tokio::task::spawn_blocking(move || answer(question, &shared));
            work.await
                .unwrap_or_else(|panic| failed(&panic.to_string()))
        }
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await
}

fn failed(message: &str) -> Answer {
    Answer::Failed {
        exit: 1,
        message: message.to_owned(),
    }
}

fn answer(question: Question, shared: &Shared) -> Answer {
    let pod = question.pod.split_once('/').map(|(namespace, name)| Id {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    });
    let uid = pod.and_then(|id| shared.pods.with(|pods| Some(pods.get(&id)?.uid.clone())));
    let Some(uid) = uid else {
        return Answer::UnknownPod;
    };
    if matches!(question.ask, Ask::Uid) {
        return Answer::Uid(uid);
    }
    let place = Place::of_pod(&uid, shared.settings.allow_host_network);
    let done = place.map_err(engine::Error::from).and_then(|place| {
        engine::inside(&place, async |session| {
            Ok(match &question.ask {
                Ask::Uid => Answer::Uid(uid.clone()),
                Ask::List => {
                    let (listed, remains) = session.list().await?;
                    Answer::Listed { listed, remains }
                }
                Ask::AddTargets { name, targets } => {
                    Answer::Written(session.add_targets(name, targets).await?)
                }
                Ask::RemoveTargets { name, targets } => {
                    Answer::Written(session.remove_targets(name, targets).await?)
                }
            })
        })
    });
    done.unwrap_or_else(|error| Answer::Failed {
        exit: error.outcome() as u8,
        message: error.with_sources(),
    })
}
