//! Rounds of apply, change, target add and remove while others' packets, or the targets' own, flow by.

use std::thread;

use crate::{
    hops::Hops,
    lab::{Lab, ms, peer},
    probe::{Flow, Flowed, Options, realtime},
};

/// A round: a manifest, and what changes it.
pub struct Round {
    /// For `apply -f -`, with the name `round`.
    pub manifest: &'static str,
    /// For `change round`.
    pub change: &'static str,
}

/// Takes so many rounds while datagrams go to `to` at `rate` a second, and gives back what became of those. No hop may
/// have lost one.
///
/// # Panics
/// When a call fails, or a datagram was lost or came twice, with the hop and the call.
pub fn under_traffic(lab: &Lab, round: &Round, rounds: u32, to: &str, rate: u32) -> Flowed {
    let hops = Hops::of(lab);
    let options = Options::new(u64::MAX, Some(rate));
    let flow = Flow::start(&lab.client, &lab.peer, peer(to), options);
    thread::sleep(ms(100));
    let mut steps = Vec::new();
    let mut step = |what: &'static str, call: &dyn Fn()| {
        let begin = realtime();
        call();
        steps.push((what, begin..realtime()));
    };
    for _ in 0..rounds {
        step("apply", &|| {
            lab.netchaos_with_input("apply -f -", round.manifest).ok();
        });
        let change = format!("change round {}", round.change);
        step("change", &|| drop(lab.netchaos(&change).ok()));
        step("target add", &|| {
            lab.netchaos("target add round 10.77.0.4 10.78.0.0/16").ok();
        });
        step("remove", &|| drop(lab.netchaos("remove round").ok()));
    }
    flow.stop();
    let flow = flow.finish(ms(3000));
    let took = flow.sent_at(flow.sent() as u64 - 1) - flow.sent_at(0);
    println!(
        "{} datagrams in {rounds} rounds, {:.0} a second: {} lost",
        flow.sent(),
        flow.sent() as f64 / (took as f64 / 1e9),
        flow.lost().len()
    );
    let when = |number: &u64| {
        let sent = flow.sent_at(*number);
        let step = steps.iter().find(|(_, time)| time.contains(&sent));
        step.map_or("between the calls", |(what, _)| what)
    };
    let lost: Vec<_> = flow.lost().iter().map(when).take(20).collect();
    println!("lost in: {lost:?}");
    hops.assert_all_passed(lab, std::slice::from_ref(&flow));
    flow
}
