//! Partition: nothing comes through, and nobody is told.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::assert_silent,
};

#[test]
fn a_partition_is_silent_to_udp_tcp_and_ping() {
    Lab::test(&[], |lab| {
        lab.netchaos("add cut --partition --to 10.77.0.3 fd77::3")
            .ok();
        lab.netchaos("add deaf --partition --direction from --to 10.77.0.4")
            .ok();
        lab.netchaos("add apart --partition --direction both --to fd77::5")
            .ok();
        for to in ["10.77.0.3", "fd77::3", "10.77.0.4", "fd77::5"] {
            lab.client.run(|| assert_silent(peer(to)));
        }
        lab.assert_delays(
            "others",
            &[
                ("10.77.0.2", 0),
                ("fd77::4", 0),
                ("10.77.0.5", 0),
                ("tcp 10.77.0.2", 0),
                // Or else the peers would be unreachable before long.
                ("arp 10.77.0.3", 0),
                ("nd fd77::3", 0),
            ],
        );
        let counted = lab.counted("cut").to;
        assert!(counted.packets >= 400, "{counted:?}");
        assert_eq!(counted.dropped, counted.segments, "{counted:?}");
        let counted = lab.counted("apart");
        assert_eq!(counted.from.packets, 0, "nothing was there to answer");
    });
}

#[test]
fn a_connection_survives_a_partition_as_it_does_a_cut_cable() {
    Lab::test(&[], |lab| {
        let to = peer("10.77.0.3");
        let mut connection = lab
            .client
            .run(|| TcpStream::connect(to))
            .expect("the peer accepts");
        connection.write_all(b"before").expect("it is connected");
        lab.netchaos("add cut --partition --direction both --to 10.77.0.3")
            .ok();
        connection
            .write_all(b" while")
            .expect("it is still connected");
        std::thread::sleep(ms(300));
        let counted = lab.counted("cut").to;
        assert!(
            counted.dropped > 0,
            "nothing was sent meanwhile: {counted:?}"
        );
        lab.netchaos("remove cut").ok();
        connection
            .write_all(b" after")
            .expect("it is still connected");
        connection
            .shutdown(std::net::Shutdown::Write)
            .expect("it is still connected");
        connection
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("not zero");
        let mut back = String::new();
        let begin = Instant::now();
        connection.read_to_string(&mut back).expect("it comes back");
        assert_eq!(back, "before while after", "after {:?}", begin.elapsed());
    });
}
