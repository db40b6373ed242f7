//! What `show` and `list` say that an experiment has met.

use netchaos_tests::{
    counted::{Counted, Way},
    lab::{CLIENT, Lab, ms, peer},
    probe::{Flow, Options},
};

#[test]
fn show_counts_each_direction_apart_and_says_in_words_when_nothing_matched() {
    Lab::test(&[], |lab| {
        lab.netchaos("add both --loss 100% --direction both --to 10.77.0.3")
            .ok();
        lab.netchaos("add idle --delay 50ms --to 10.77.0.4").ok();
        assert_eq!(lab.counted("both"), Counted::default());
        lab.netchaos("show both").ok().says(&["no packet matched"]);

        let options = Options {
            bytes: 500,
            ..Options::new(70, Some(500))
        };
        let out = Flow::start(&lab.client, &lab.peer, peer("10.77.0.3:6000"), options);
        let options = Options {
            bytes: 300,
            source: Some(peer("10.77.0.3:0")),
            ..Options::new(30, Some(500))
        };
        let into = peer(&format!("{CLIENT}:6001"));
        let into = Flow::start(&lab.peer, &lab.client, into, options);
        assert_eq!(
            out.finish(ms(300)).arrived() + into.finish(ms(300)).arrived(),
            0
        );

        let way = |packets, payload: u64| Way {
            packets,
            bytes: packets * (payload + 42),
            segments: packets,
            dropped: packets,
        };
        let counted = lab.counted("both");
        assert_eq!((counted.to, counted.from), (way(70, 500), way(30, 300)));
        assert_eq!(counted.queue_dropped, 0);
        assert_eq!(lab.counted("idle"), Counted::default());
        lab.netchaos("show both")
            .ok()
            .says(&["70", "30", "dropped"]);
        lab.netchaos("show idle").ok().says(&["no packet matched"]);
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(
            (&list[0]["to"]["packets"], &list[0]["from"]["packets"]),
            (&70.into(), &30.into())
        );
        assert!(
            list[0]["from"]["lastPacketAgo"].as_f64() > Some(0.0),
            "{list}"
        );
        assert!(list[1]["to"]["lastPacketAgo"].is_null(), "{list}");
    });
}
