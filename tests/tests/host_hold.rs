//! Experiments that somebody holds, as the agent of a cluster does: by the library, and what the
//! command line sees of them. On whatever kernel this machine has.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use netchaos::{
    engine::{self, Effect, Holding, Until},
    experiment::manifest::{self, Reading},
    place::{Place, Where},
};
use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::answers,
};
use serde_json::Value;

const HOLDER: &str = "7d5ad3c8-0001";
const HOUR: Duration = Duration::from_secs(3600);

/// A partition from these peers, held for an hour's lease.
fn holding(namespace: &str, targets: &str) -> Holding {
    let text = format!(
        "{{apiVersion: netchaos/v1, kind: Experiment, name: cut, namespace: {namespace}, fault: \
         {{partition: true}}, to: [{targets}]}}"
    );
    let mut read = manifest::read("test", &text, Reading::default()).expect("it is right");
    Holding {
        experiment: read.remove(0).experiment,
        holder: HOLDER.into(),
        until: Until::Lease(HOUR),
    }
}

fn place(lab: &Lab) -> Place {
    Place::open(&Where::Netns(lab.client.name().into())).expect("it is there")
}

fn hold(lab: &Lab, holding: &Holding) -> Result<Effect, String> {
    engine::inside(&place(lab), async |session| session.hold(holding).await)
        .map_err(|error| error.to_string())
}

#[track_caller]
fn assert_held(lab: &Lab, holding: &Holding, effect: Effect) {
    assert_eq!(hold(lab, holding).expect("it can be held"), effect);
}

fn release_but(lab: &Lab, holders: &[&str]) -> Vec<String> {
    let holders: BTreeSet<String> = holders.iter().map(ToString::to_string).collect();
    engine::inside(&place(lab), async |session| {
        session.release_but(&holders).await
    })
    .expect("they can be released")
}

#[track_caller]
fn shown(lab: &Lab, id: &str) -> Value {
    lab.netchaos(&format!("show {id} -o json")).ok().json()
}

/// When it was laid: a number that stays with whatever it is changed into.
fn created(lab: &Lab, id: &str) -> f64 {
    shown(lab, id)["created"].as_f64().expect("a number")
}

#[test]
fn what_is_held_is_laid_left_and_changed_and_targets_added_by_hand_stay() {
    Lab::test_with(&[], |lab| {
        let first = holding("shop", "10.77.0.3, 'fd77::4'");
        assert_held(lab, &first, Effect::Created);
        let cut = [("10.77.0.3", true), ("fd77::4", true), ("10.77.0.5", false)];
        lab.assert_cut("held", &cut);
        let before = shown(lab, "shop/cut");
        assert_eq!(before["heldBy"], HOLDER, "{before}");
        assert_eq!(before["endsIn"], Value::Null, "{before}");
        let left = before["leaseEndsIn"].as_f64().expect("a lease");
        assert!((3500.0..=3600.0).contains(&left), "{before}");
        lab.netchaos("list")
            .ok()
            .says(&["shop/cut", "active, held", "unless renewed"]);

        assert_held(lab, &first, Effect::Unchanged);
        // The order of targets is none.
        assert_held(
            lab,
            &holding("shop", "'fd77::4', 10.77.0.3"),
            Effect::Unchanged,
        );
        let after = shown(lab, "shop/cut");
        assert_eq!(after["spec"], before["spec"]);
        assert_eq!(after["created"], before["created"]);

        let other = holding("shop", "10.77.0.3, 10.77.0.5");
        assert_held(lab, &other, Effect::Changed);
        lab.assert_cut(
            "another target",
            &[("10.77.0.3", true), ("fd77::4", false), ("10.77.0.5", true)],
        );

        lab.netchaos("target add cut 10.77.0.6").ok();
        lab.netchaos("target remove cut 10.77.0.5").ok();
        let by_hand = [
            ("10.77.0.3", true),
            ("10.77.0.5", false),
            ("10.77.0.6", true),
        ];
        lab.assert_cut("by hand", &by_hand);
        assert_held(lab, &other, Effect::Unchanged);
        lab.assert_cut("by hand, held again", &by_hand);
        assert_held(
            lab,
            &holding("shop", "10.77.0.5, 'fd77::7'"),
            Effect::Changed,
        );
        lab.assert_cut(
            "by hand, with other targets of the holder",
            &[
                ("10.77.0.3", false),
                ("10.77.0.5", false),
                ("10.77.0.6", true),
                ("fd77::7", true),
            ],
        );
        lab.netchaos("target add cut 10.77.0.5").ok();
        lab.netchaos("target remove cut 10.77.0.6").ok();
        assert_held(lab, &holding("shop", "10.77.0.5"), Effect::Changed);
        lab.assert_cut(
            "taken back",
            &[
                ("10.77.0.5", true),
                ("10.77.0.6", false),
                ("fd77::7", false),
            ],
        );
        lab.netchaos("target add cut fd77::8").ok();
        lab.netchaos("target remove cut 10.77.0.5").ok();
        lab.netchaos("target remove cut fd77::8").fails_with(1);
        assert_held(lab, &holding("shop", "10.77.0.5"), Effect::Unchanged);
    });
}

#[test]
fn what_is_left_without_a_target_steers_nothing_until_there_is_one_again() {
    Lab::test_with(&[], |lab| {
        assert_held(
            lab,
            &holding("shop", "10.77.0.3, 10.77.0.4"),
            Effect::Created,
        );
        lab.netchaos("target remove cut 10.77.0.3").ok();
        // The only one that its holder has left is the one that was removed by hand.
        assert_held(lab, &holding("shop", "10.77.0.3"), Effect::Changed);
        assert_held(lab, &holding("shop", "10.77.0.3"), Effect::Unchanged);
        lab.assert_cut("none", &[("10.77.0.3", false), ("10.77.0.4", false)]);
        assert_eq!(shown(lab, "cut")["state"], "paused");
        assert_held(
            lab,
            &holding("shop", "10.77.0.3, 10.77.0.5"),
            Effect::Changed,
        );
        lab.assert_cut("one", &[("10.77.0.3", false), ("10.77.0.5", true)]);
    });
}

#[test]
fn the_holder_puts_back_what_was_changed_by_hand_and_the_command_line_says_so() {
    Lab::test_with(&[], |lab| {
        let holding = holding("shop", "10.77.0.3");
        assert_held(lab, &holding, Effect::Created);
        let says = ["note: shop/cut is held by 7d5ad3c8-0001", "change it there"];
        lab.netchaos("pause cut").ok().says(&says);
        lab.assert_cut("paused", &[("10.77.0.3", false)]);
        assert_held(lab, &holding, Effect::Changed);
        lab.assert_cut("put back", &[("10.77.0.3", true)]);
        lab.netchaos("change cut --partition=none --loss 100%")
            .ok()
            .says(&says);
        assert_held(lab, &holding, Effect::Changed);
        assert_eq!(shown(lab, "cut")["spec"]["fault"]["partition"], true);
        let quiet = lab.netchaos("target add cut 10.77.0.4").ok();
        assert!(!quiet.stderr.contains("held"), "{quiet}");
        lab.netchaos("remove cut").ok().says(&says);
        lab.assert_nothing_left();
        assert_held(lab, &holding, Effect::Created);
        lab.assert_cut("laid again", &[("10.77.0.3", true), ("10.77.0.4", false)]);
    });
}

#[test]
fn a_lease_is_renewed_and_one_that_is_not_ends_the_fault_with_no_process_alive() {
    Lab::test_with(&[], |lab| {
        let lease = |seconds| Holding {
            until: Until::Lease(Duration::from_secs(seconds)),
            ..holding("shop", "10.77.0.3")
        };
        let left = || shown(lab, "cut")["leaseEndsIn"].as_f64().expect("a lease");
        assert_held(lab, &lease(9), Effect::Created);
        let first = created(lab, "cut");
        assert_held(lab, &lease(9), Effect::Unchanged);
        let begin = Instant::now();
        while left() > 5.5 {
            assert!(begin.elapsed() < Duration::from_secs(9), "it never runs");
            thread::sleep(ms(100));
        }
        assert_held(lab, &lease(9), Effect::Unchanged);
        assert!(left() > 7.0, "it was not renewed");
        // Another length counts at once.
        assert_held(lab, &lease(4), Effect::Changed);
        assert!(left() <= 4.0);
        lab.assert_cut("held", &[("10.77.0.3", true)]);
        assert_eq!(created(lab, "cut"), first);

        let begin = Instant::now();
        while !lab.client.run(|| answers(peer("10.77.0.3"))) {
            assert!(begin.elapsed() < Duration::from_secs(10), "it does not end");
        }
        lab.netchaos("show cut").ok().says(&["ended"]);
        // Held again it is a new one, and the only one.
        assert_held(lab, &lease(60), Effect::Created);
        lab.assert_cut("again", &[("10.77.0.3", true)]);
        assert!(created(lab, "cut") > first);
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    });
}

#[test]
fn an_end_stays_where_it_is_unless_the_object_has_another() {
    Lab::test_with(&[], |lab| {
        let until = |rest| Holding {
            until: Until::In(rest),
            ..holding("shop", "10.77.0.3")
        };
        let left = || shown(lab, "cut")["endsIn"].as_f64().expect("an end");
        // An object has a moment; how far that is gets less from call to call.
        let end = Instant::now() + Duration::from_secs(600);
        let rest = || end.saturating_duration_since(Instant::now());
        assert_held(lab, &until(rest()), Effect::Created);
        let first = left();
        // A clock that is a second ahead, and one that is behind.
        assert_held(lab, &until(rest() + ms(1000)), Effect::Unchanged);
        assert_held(lab, &until(rest() - ms(1000)), Effect::Unchanged);
        assert!(left() <= first);
        let later = rest() + Duration::from_secs(300);
        assert_held(lab, &until(later), Effect::Changed);
        assert!((800.0..=900.0).contains(&left()));
        assert_eq!(shown(lab, "cut").get("leaseEndsIn"), None);
        // Without a duration from now on.
        assert_held(lab, &holding("shop", "10.77.0.3"), Effect::Changed);
        assert_eq!(shown(lab, "cut")["endsIn"], Value::Null);
        assert_held(lab, &until(ms(2000)), Effect::Changed);
        thread::sleep(ms(2500));
        lab.assert_cut("ended", &[("10.77.0.3", false)]);
        // What has ended is swept by whoever writes next.
        assert_eq!(release_but(lab, &[HOLDER]), Vec::<String>::new());
        lab.assert_nothing_left();
    });
}

#[test]
fn what_was_laid_by_hand_is_neither_held_nor_released() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add cut --partition --to 10.77.0.3").ok();
        lab.netchaos_with_input(
            "apply -f -",
            "{apiVersion: netchaos/v1, kind: Experiment, name: cut, namespace: hand, fault: \
             {partition: true}, to: [10.77.0.4]}",
        )
        .ok();
        let refused = hold(lab, &holding("hand", "10.77.0.5")).expect_err("it is there");
        assert!(
            refused.contains("hand/cut") && refused.contains("by hand"),
            "{refused}"
        );
        // Two more of the same name, at once on one place.
        assert_held(lab, &holding("one", "10.77.0.5"), Effect::Created);
        let two = Holding {
            holder: "7d5ad3c8-0002".into(),
            ..holding("two", "10.77.0.6")
        };
        assert_held(lab, &two, Effect::Created);
        lab.assert_cut(
            "all",
            &[
                ("10.77.0.3", true),
                ("10.77.0.4", true),
                ("10.77.0.5", true),
                ("10.77.0.6", true),
            ],
        );
        assert_eq!(release_but(lab, &[&two.holder]), ["one/cut"]);
        lab.assert_cut(
            "one is released",
            &[
                ("10.77.0.3", true),
                ("10.77.0.4", true),
                ("10.77.0.5", false),
                ("10.77.0.6", true),
            ],
        );
        assert_eq!(release_but(lab, &[]), ["two/cut"]);
        assert_eq!(release_but(lab, &[]), Vec::<String>::new());
        lab.assert_cut(
            "all are released",
            &[
                ("10.77.0.3", true),
                ("10.77.0.4", true),
                ("10.77.0.6", false),
            ],
        );
    });
}

#[test]
fn another_object_of_the_same_id_takes_the_place_of_the_one_before() {
    Lab::test_with(&[], |lab| {
        assert_held(lab, &holding("shop", "10.77.0.3"), Effect::Created);
        lab.netchaos("target add cut 10.77.0.6").ok();
        let before = created(lab, "cut");
        let next = Holding {
            holder: "7d5ad3c8-0002".into(),
            ..holding("shop", "10.77.0.4")
        };
        assert_held(lab, &next, Effect::Created);
        lab.assert_cut(
            "the next one",
            &[
                ("10.77.0.3", false),
                ("10.77.0.4", true),
                ("10.77.0.6", false),
            ],
        );
        assert!(created(lab, "cut") > before);
        assert_eq!(release_but(lab, &[&next.holder]), Vec::<String>::new());
        assert_eq!(release_but(lab, &[HOLDER]), ["shop/cut"]);
        lab.assert_nothing_left();
    });
}

#[test]
fn names_are_looked_up_each_time_and_what_they_stood_for_stays() {
    Lab::test_with(&[], |lab| {
        let unknown = holding("shop", "db.lab, 10.77.0.5");
        let hosts = |lab: &mut Lab, text: &str| lab.write_etc("hosts", text);
        // No name server answers, so that only the file counts.
        lab.write_etc("resolv.conf", "nameserver 127.0.0.1\n");
        hosts(lab, "");
        hold(lab, &unknown).expect_err("the name is unknown");
        lab.assert_nothing_left();

        hosts(lab, "10.77.0.3 db.lab\n");
        assert_held(lab, &unknown, Effect::Created);
        hosts(lab, "10.77.0.4 db.lab\n10.77.0.6 by-hand.lab\n");
        lab.netchaos("target add cut by-hand.lab").ok();
        assert_held(lab, &unknown, Effect::Changed);
        lab.assert_cut(
            "followed",
            &[
                ("10.77.0.3", true),
                ("10.77.0.4", true),
                ("10.77.0.5", true),
                ("10.77.0.6", true),
                ("10.77.0.7", false),
            ],
        );
        // The name that was added by hand is followed, too.
        hosts(lab, "10.77.0.4 db.lab\n10.77.0.7 by-hand.lab\n");
        assert_held(lab, &unknown, Effect::Changed);
        lab.assert_cut("by hand", &[("10.77.0.6", true), ("10.77.0.7", true)]);
        // Nobody knows the names any more: what was known stays, and the rest is done.
        hosts(lab, "");
        assert_held(lab, &unknown, Effect::Unchanged);
        let more = holding("shop", "db.lab, 10.77.0.5, 10.77.0.8");
        assert_held(lab, &more, Effect::Changed);
        lab.assert_cut(
            "without answers",
            &[("10.77.0.4", true), ("10.77.0.8", true)],
        );
        // A new name that nobody knows is told, when all the rest is done.
        let new = holding("shop", "db.lab, 10.77.0.9, nobody.lab");
        let error = hold(lab, &new).expect_err("it is unknown");
        assert!(error.contains("nobody.lab"), "{error}");
        lab.assert_cut(
            "the rest is done",
            &[
                ("10.77.0.4", true),
                ("10.77.0.8", false),
                ("10.77.0.9", true),
            ],
        );
        // But not an exception that is unknown.
        let mut spared = holding("shop", "10.77.0.5");
        let name = "nobody.lab".parse().expect("a target");
        spared.experiment.except = vec![name];
        hold(lab, &spared).expect_err("it is unknown");
        lab.assert_cut(
            "nothing is done",
            &[("10.77.0.5", false), ("10.77.0.9", true)],
        );
    });
}
