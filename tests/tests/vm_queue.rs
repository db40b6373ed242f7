//! A delay never becomes loss: the queue holds whatever is under way.

use std::thread;

use netchaos_tests::{
    hops::Hops,
    lab::{Lab, ms, peer},
    probe::{Flow, Flowed, Options},
};

#[test]
fn a_burst_of_10000_packets_that_are_due_at_once_arrives_whole() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 1s --to 10.77.0.3").ok();
        let hops = Hops::of(lab);
        // From as many senders at once as it takes to be faster than the way out of the queue.
        let flows: Vec<Flow> = (0..4)
            .map(|number: u16| {
                let to = peer(&format!("10.77.0.3:{}", 6000 + number));
                let mut options = Options::new(2500, None);
                options.cpu = usize::from(number);
                Flow::start(&lab.client, &lab.peer, to, options)
            })
            .collect();
        let flows: Vec<Flowed> = flows
            .into_iter()
            .map(|flow| flow.finish(ms(4000)))
            .collect();
        hops.assert_all_passed(lab, &flows);
        for flow in &flows {
            assert!(flow.shortest() >= ms(1000), "{flow}");
        }
        let under_way: usize = flows.iter().map(Flowed::most_under_way).sum();
        println!("{under_way} under way at once");
        assert!(
            under_way >= 9000,
            "the burst was not one: {under_way} under way"
        );
    });
}

#[test]
fn half_a_second_of_delay_at_20000_packets_a_second_delivers_all() {
    Lab::test(&[], |lab| {
        // The rig's own queue behind the veth, for a processor that is late.
        std::fs::write("/proc/sys/net/core/netdev_max_backlog", "100000").expect("root can");
        lab.netchaos("add slow --delay 500ms --to 10.77.0.3").ok();
        let hops = Hops::of(lab);
        let to = peer("10.77.0.3:6000");
        let options = Options::new(50_000, Some(20_000));
        let flow = Flow::start(&lab.client, &lab.peer, to, options);
        let flow = flow.finish(ms(4000));
        println!("{flow}; {} under way at once", flow.most_under_way());
        hops.assert_all_passed(lab, std::slice::from_ref(&flow));
        assert!(flow.shortest() >= ms(500), "{flow}");
        flow.assert_in_order("a steady flow");
        // netem's default limit is 1000; an emulated processor may not reach 20,000/s.
        assert!(flow.most_under_way() > 1500, "{}", flow.most_under_way());
    });
}

#[test]
fn a_longer_delay_given_later_holds_what_is_under_way_then() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 10ms --to 10.77.0.3").ok();
        lab.netchaos("change slow --delay 2s").ok();
        let hops = Hops::of(lab);
        let to = peer("10.77.0.3:6000");
        let flow = Flow::start(&lab.client, &lab.peer, to, Options::new(12_000, Some(6000)));
        thread::sleep(ms(100));
        let flow = flow.finish(ms(4000));
        println!("{flow}; {} under way at once", flow.most_under_way());
        hops.assert_all_passed(lab, std::slice::from_ref(&flow));
        assert!(flow.shortest() >= ms(2000), "{flow}");
        assert!(flow.most_under_way() > 4000, "{}", flow.most_under_way());
    });
}
