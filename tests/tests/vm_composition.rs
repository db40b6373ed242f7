//! Several experiments in one place.

use std::thread;

use netchaos_tests::{
    lab::{Lab, PORT, ms},
    probe::assert_delayed,
};

#[test]
fn two_experiments_on_one_packet_add_up() {
    Lab::test(&[], |lab| {
        lab.netchaos("add one --delay 50ms --to 10.77.0.3").ok();
        lab.assert_delayed("10.77.0.3", ms(50));
        lab.netchaos("add two --delay 100ms --to 10.77.0.3:7001 fd77::3")
            .ok();
        lab.assert_delayed("10.77.0.3:7001", ms(150));
        lab.assert_delayed("10.77.0.3:7002", ms(50));
        lab.assert_delayed("fd77::3", ms(100));
        lab.netchaos("remove one").ok();
        lab.assert_delayed("10.77.0.3:7001", ms(100));
        lab.assert_prompt("10.77.0.3:7002");
    });
}

#[test]
fn experiments_on_different_packets_stay_apart() {
    Lab::test(&[], |lab| {
        lab.netchaos("add one --delay 50ms --to 10.77.0.3").ok();
        lab.netchaos("add two --delay 120ms --to 10.77.0.4").ok();
        lab.netchaos("add three --delay 190ms --to fd77::3").ok();
        lab.assert_delayed("10.77.0.3", ms(50));
        lab.assert_delayed("10.77.0.4", ms(120));
        lab.assert_delayed("fd77::3", ms(190));
        lab.assert_prompt("10.77.0.2");
        lab.assert_prompt("fd77::4");
    });
}

#[test]
fn nested_prefixes_and_a_host_in_them_all_count_whatever_the_order() {
    Lab::test(&[], |lab| {
        lab.netchaos("add inner --delay 100ms --to 10.77.0.2/31")
            .ok();
        lab.netchaos("add host --delay 200ms --to 10.77.0.3").ok();
        lab.netchaos("add outer --delay 50ms --to 10.77.0.0/29")
            .ok();
        lab.assert_delayed("10.77.0.3", ms(350));
        lab.assert_delayed("10.77.0.2", ms(150));
        lab.assert_delayed("10.77.0.4", ms(50));
        lab.assert_prompt("10.77.0.8");
        lab.netchaos("remove inner").ok();
        lab.assert_delayed("10.77.0.3", ms(250));
        lab.assert_delayed("10.77.0.2", ms(50));
    });
}

#[test]
fn an_exception_of_one_experiment_is_none_of_another() {
    Lab::test(&[], |lab| {
        lab.netchaos("add some --delay 50ms --to 10.77.0.0/28 --except 10.77.0.3")
            .ok();
        lab.netchaos("add all --delay 100ms --to 10.77.0.0/28").ok();
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.assert_delayed("10.77.0.4", ms(150));
    });
}

#[test]
fn fifteen_experiments_each_delay_their_own_port_and_one_more_works_or_is_refused_whole() {
    Lab::test(&[], |lab| {
        let port = |number: u64| PORT + number as u16;
        for number in 0..15 {
            let (port, delay) = (port(number), 20 + 20 * number);
            lab.netchaos(&format!(
                "add e{number} --delay {delay}ms --to 10.77.0.3:{port}"
            ))
            .ok();
        }
        let check = |number: u64| {
            let to = format!("10.77.0.3:{}", port(number));
            assert_delayed(&to, ms(20 + 20 * number), || lab.round_trips(&to, 3));
        };
        (0..15).for_each(check);
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(15), "{list}");

        let more = lab.netchaos(&format!(
            "add e15 --delay 320ms --to 10.77.0.3:{}",
            port(15)
        ));
        if more.status.success() {
            check(15);
        } else {
            more.fails_with(1);
            lab.assert_prompt(&format!("10.77.0.3:{}", port(15)));
            assert_eq!(lab.netchaos("list -o json").ok().json(), list);
        }
        check(14);
        lab.assert_prompt(&format!("10.77.0.3:{}", port(16)));
    });
}

#[test]
fn experiments_that_are_added_at_the_same_time_all_land() {
    Lab::test(&[], |lab| {
        let lab = &*lab;
        thread::scope(|scope| {
            for number in 2..6 {
                scope.spawn(move || {
                    let delay = 40 * number;
                    lab.netchaos(&format!(
                        "add e{number} --delay {delay}ms --to 10.77.0.{number}"
                    ))
                    .ok();
                });
            }
        });
        for number in 2..6 {
            lab.assert_delayed(&format!("10.77.0.{number}"), ms(40 * number));
        }
        thread::scope(|scope| {
            for number in 2..6 {
                scope.spawn(move || lab.netchaos(&format!("remove e{number}")).ok());
            }
        });
        lab.assert_nothing_left();
    });
}
