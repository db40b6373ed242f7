//! What `explain` says beforehand is what is measured afterwards.

use netchaos_tests::{
    command::run,
    lab::{Lab, ms, peer},
    netchaos::program,
    probe::tcp_transfer,
};

const SAID: [&str; 4] = [
    "A round trip takes 120ms more",
    "A TCP handshake is one round trip: 120ms more",
    "240ms more",
    "4 times the 60ms",
];

#[test]
fn a_handshake_and_a_request_take_what_explain_says() {
    Lab::test(&[], |lab| {
        let manifest = "apiVersion: netchaos/v1\nkind: Experiment\nname: slow\ndirection: both\n\
                        fault: { delay: { latency: 60ms } }\nto: [10.77.0.3]\n";
        let file = std::env::temp_dir().join("netchaos-explained.yaml");
        std::fs::write(&file, manifest).expect("root can write there");
        let path = file.to_string_lossy();
        // Of a file, by anybody.
        let nobody = [
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            &program(),
        ];
        let explain = ["explain", "-f", &path];
        run("setpriv", &[&nobody[..], &explain].concat())
            .ok()
            .says(&SAID);
        lab.assert_nothing_left();

        lab.netchaos(&format!("apply -f {path}")).ok();
        std::fs::remove_file(&file).expect("it is there");
        lab.netchaos("explain slow").ok().says(&SAID);
        lab.assert_delays(
            "as explained",
            &[
                ("10.77.0.3", 120),
                ("tcp 10.77.0.3", 120),
                ("tcp 10.77.0.4", 0),
            ],
        );
        let requests = (0..5).map(|_| lab.client.run(|| tcp_transfer(peer("10.77.0.3"), 100)));
        let shortest = requests.min().expect("five of them");
        assert!((ms(240)..ms(300)).contains(&shortest), "{shortest:?}");
    });
}
