//! Watching packets being steered, by the lines that aya-log brings from the kernel.

use std::sync::mpsc;

use aya::{Ebpf, programs::SchedClassifier};
use aya_log::{EbpfLogger, LEVEL, Level};
use log::{Log, Metadata, Record};
use serde::Serialize;
use tokio::io::{Interest, unix::AsyncFd};

use super::{Error, load};

/// The program that writes the lines; it sits at clsact egress of a pair's upper device.
pub const FOLLOW: &str = "netchaos_follow";

/// A packet on its way into a band.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Steered {
    #[serde(skip)]
    pub slot: u32,
    /// Whether it came from the peer, and does not go to it.
    pub ingress: bool,
    pub peer: String,
    /// 0 where the packet has none.
    pub port: u16,
    /// Bytes, link-layer header included.
    pub length: u32,
}

/// The loaded program and its lines.
pub struct Follow {
    object: Ebpf,
    logger: AsyncFd<EbpfLogger<Lines>>,
    lines: mpsc::Receiver<String>,
}

/// Takes the lines that aya-log makes.
struct Lines(mpsc::Sender<String>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Nobody to read it: nothing to do.
        let _ = self.0.send(record.args().to_string());
    }

    fn flush(&self) {}
}

impl Follow {
    /// Loads the program with its log on. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn load() -> Result<Self, Error> {
        let what = "follow the packets";
        let mut ebpf = load::load_object(|loader| {
            loader.override_global(LEVEL, &(Level::Debug as u8), true);
        })?;
        load::load_program(&mut ebpf, FOLLOW)?;
        let (sender, lines) = mpsc::channel();
        let logger = EbpfLogger::init_with_logger(&mut ebpf, Lines(sender))
            .map_err(|error| Error::unexpected(what, error.to_string()))?;
        // SAFETY: the descriptor is the logger's own ring buffer map, open as long as the logger.
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
            .map_err(|error| Error::new(what, error.into_parts().1))?;
        Ok(Self {
            object: ebpf,
            logger,
            lines,
        })
    }

    /// The program, to be attached.
    ///
    /// # Errors
    /// None, since it was loaded.
    pub fn program(&mut self) -> Result<&mut SchedClassifier, Error> {
        load::program(&mut self.object, FOLLOW)
    }

    /// Waits for the next packets.
    ///
    /// # Errors
    /// The ring buffer cannot be waited for.
    pub async fn next(&mut self) -> Result<Vec<Steered>, Error> {
        let mut ready = self
            .logger
            .readable_mut()
            .await
            .map_err(|error| Error::new("wait for packets", error))?;
        ready.get_inner_mut().flush();
        ready.clear_ready();
        Ok(self
            .lines
            .try_iter()
            .filter_map(|line| parse(&line))
            .collect())
    }
}

/// The line that the program writes: slot, 1 where the packet comes in, peer, port, length.
fn parse(line: &str) -> Option<Steered> {
    let mut words = line.split(' ');
    let steered = Steered {
        slot: words.next()?.parse().ok()?,
        ingress: words.next()? == "1",
        peer: words.next()?.to_owned(),
        port: words.next()?.parse().ok()?,
        length: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(steered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_program_is_a_packet() {
        let steered = parse("3 1 2001:db8::1 443 1514").unwrap();
        assert_eq!((steered.slot, steered.ingress), (3, true));
        assert_eq!((steered.peer.as_str(), steered.port), ("2001:db8::1", 443));
        assert_eq!(parse("3 0 10.0.0.1 443"), None);
        assert_eq!(parse("3 0 10.0.0.1 443 1514 x"), None);
    }
}
