//! A thousand calls on one namespace at once: each of them lands, and who looks meanwhile sees whole
//! experiments only.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::Lab,
    netchaos::{netchaos, program},
};
use serde_json::Value;

/// A device has room for 64 experiments.
const DEVICES: usize = 8;
const CALLS: usize = 500;

fn start(words: &str, errors: &File) -> Child {
    Command::new(program())
        .args(words.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.try_clone().expect("a descriptor"))
        .spawn()
        .unwrap_or_else(|error| panic!("netchaos {words}: {error}"))
}

/// What is wrong with an experiment that is listed while others write.
fn assert_whole(item: &Value) {
    assert_eq!(item["state"], "active", "{item:#}");
    assert!(
        item.get("drift")
            .is_none_or(|drift| drift == &serde_json::json!([])),
        "{item:#}"
    );
    let targets = item["spec"]["to"].as_array().expect("targets");
    let is_base = item["name"]
        .as_str()
        .is_some_and(|name| name.starts_with("base"));
    assert!(is_base || targets.len() == 1, "{item:#}");
}

#[test]
fn a_thousand_calls_at_once_all_land() {
    Lab::test_with(&[], |lab| {
        let links =
            (0..DEVICES).map(|device| format!("link add v{device} type veth peer name w{device}"));
        let up = (0..DEVICES)
            .flat_map(|device| ["v", "w"].map(|end| format!("link set {end}{device} up")));
        lab.client
            .ip_batch("", &links.chain(up).collect::<Vec<_>>());
        lab.is_the_users();
        let at = lab.client.name().to_owned();
        for device in 0..DEVICES {
            let line =
                format!("add base{device} --partition --to 10.0.{device}.1 --device v{device}");
            lab.netchaos(&line).ok();
        }
        let errors = env::temp_dir().join(format!("netchaos-{at}.errors"));
        let file = File::create(&errors).expect("a file for their errors");
        let is_over = AtomicBool::new(false);
        let (mut looks, mut longest) = (0, Duration::ZERO);
        let begin = Instant::now();
        thread::scope(|scope| {
            let looker = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for words in ["list", "show base0"] {
                        let line = format!("{words} -o json --netns {at}");
                        let done = netchaos(&line.split(' ').collect::<Vec<_>>()).ok();
                        let told = done.json();
                        told.as_array()
                            .unwrap_or(&vec![told.clone()])
                            .iter()
                            .for_each(assert_whole);
                        looks += 1;
                        longest = longest.max(done.took);
                    }
                }
            });
            let calls = (0..CALLS).flat_map(|number| {
                let device = number % DEVICES;
                [
                    format!("add e{number} --partition --to 10.1.{device}.{} --device v{device} --netns {at}", number / DEVICES),
                    format!("target add base{device} 10.2.{device}.{} --netns {at}", number / DEVICES),
                ]
            });
            let mut children: Vec<(String, Child)> = calls
                .map(|line| {
                    let child = start(&line, &file);
                    (line, child)
                })
                .collect();
            println!("{} started in {:?}", children.len(), begin.elapsed());
            let failed: Vec<&String> = children
                .iter_mut()
                .filter_map(|(line, child)| {
                    let status = child.wait().expect("a child can be waited for");
                    (!status.success()).then_some(&*line)
                })
                .collect();
            is_over.store(true, Ordering::Relaxed);
            let said = fs::read_to_string(&errors).expect("it is there");
            assert!(failed.is_empty(), "{failed:#?}\n{said}");
            if let Err(panic) = looker.join() {
                std::panic::resume_unwind(panic);
            }
        });
        println!(
            "{} calls landed in {:?}; {looks} looks meanwhile, the longest {longest:?}",
            2 * CALLS,
            begin.elapsed()
        );
        fs::remove_file(&errors).expect("it is there");
        let list = lab.netchaos("list -o json").ok().json();
        let list = list.as_array().expect("an array");
        assert_eq!(list.len(), CALLS + DEVICES);
        list.iter().for_each(assert_whole);
        let targets: BTreeMap<&str, usize> = list
            .iter()
            .map(|item| {
                (
                    item["name"].as_str().expect("a name"),
                    item["spec"]["to"].as_array().map_or(0, Vec::len),
                )
            })
            .collect();
        let of_bases: usize = (0..DEVICES)
            .map(|device| targets[format!("base{device}").as_str()])
            .sum();
        assert_eq!(of_bases, CALLS + DEVICES);
    });
}
