//! Round trips, measured and shown.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::lab::{CLIENT, PEERS};
use crate::ui::output;

/// Pings to each peer, one every `INTERVAL` seconds.
const COUNT: &str = "10";
const INTERVAL: &str = "0.2";

/// The round trips to one peer, in milliseconds, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Times(Vec<f64>);

impl Times {
    /// Reads what ping(8) of iputils prints.
    fn read(text: &str) -> Self {
        let times = text
            .lines()
            .filter_map(|line| line.split_once(" time=")?.1.split(' ').next()?.parse().ok());
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The shortest; the one that a busy machine distorts least.
    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    fn shown(&self) -> String {
        let (Some(min), Some(max)) = (self.0.first(), self.0.last()) else {
            return "no answer".into();
        };
        format!("{min:.1} / {:.1} / {max:.1}", self.0[self.0.len() / 2])
    }
}

/// How the client's pings ask for `name`.
pub fn command(name: &str) -> Command {
    let mut command = Command::new("ip");
    command.args([
        "netns", "exec", CLIENT, "ping", "-c", COUNT, "-i", INTERVAL, name,
    ]);
    command
}

/// Pings all peers at the same time; in the order of `PEERS`.
///
/// # Errors
/// When a packet gets lost: nothing in the lab loses any.
pub fn all() -> Result<Vec<Times>> {
    let threads = PEERS
        .each_ref()
        .map(|peer| std::thread::spawn(|| output(&mut command(peer.name))));
    let mut all = Vec::new();
    for (peer, thread) in PEERS.iter().zip(threads) {
        let Ok(text) = thread.join() else {
            bail!("a pinging thread died")
        };
        let times = Times::read(&text?);
        if times.0.len() != COUNT.parse::<usize>()? {
            bail!("{} answered {} of {COUNT} pings", peer.name, times.0.len());
        }
        all.push(times);
    }
    Ok(all)
}

/// Waits until every peer has answered once: addresses are resolved, and routes known.
///
/// # Errors
/// When a peer does not answer.
pub fn first() -> Result<()> {
    for peer in &PEERS {
        let mut command = Command::new("ip");
        command.args([
            "netns", "exec", CLIENT, "ping", "-c", "1", "-w", "10", peer.name,
        ]);
        output(&mut command).with_context(|| format!("{} does not answer", peer.name))?;
    }
    Ok(())
}

/// The round trips in each phase, as a table.
pub fn table(phases: &[(&str, Vec<Times>)]) -> String {
    let mut rows = vec![vec!["round trip, ms".to_owned()]];
    rows[0].extend(phases.iter().map(|(title, _)| (*title).to_owned()));
    for (index, peer) in PEERS.iter().enumerate() {
        let mut row = vec![format!("{} ({})", peer.name, peer.address())];
        row.extend(phases.iter().map(|(_, times)| times[index].shown()));
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=phases.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        format!("  {}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    let mut text: String = rows.iter().map(line).collect();
    text.push_str("  (shortest / median / longest of 10)\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &str = "PING target-one.lab (10.77.1.2) 56(84) bytes of data.
64 bytes from target-one.lab (10.77.1.2): icmp_seq=1 ttl=63 time=52.1 ms
64 bytes from target-one.lab (10.77.1.2): icmp_seq=2 ttl=63 time=0.45 ms
64 bytes from target-one.lab (10.77.1.2): icmp_seq=3 ttl=63 time=50.0 ms

--- target-one.lab ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 402ms
rtt min/avg/max/mdev = 0.450/50.500/52.100/0.100 ms
";

    #[test]
    fn round_trips_are_read_and_sorted() {
        let times = Times::read(PING);
        assert_eq!(times, Times(vec![0.45, 50.0, 52.1]));
        assert_eq!(times.shown(), "0.5 / 50.0 / 52.1");
        assert!(Times::read("").min().is_nan());
    }

    #[test]
    fn columns_stand_under_each_other() {
        let times = vec![Times::read(PING); 3];
        let table = table(&[("before", times.clone()), ("during", times)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0].find("before"), lines[1].find("0.5 / "));
        assert_eq!(lines[0].find("during"), lines[1].rfind("0.5 / "));
    }
}
