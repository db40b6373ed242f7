//! What comes over the agent's socket, from both sides.

use netchaos::{
    door::{Answer, Ask, Question},
    experiment::Target,
};
use serde::{Serialize, de::DeserializeOwned};

use super::grammar;

pub const SEEDS: &str = r#"{"version":1,"pod":"shop/web-0","ask":"list"}
{"version":1,"pod":"shop/web-0","ask":"uid"}
{"version":1,"pod":"shop/web-0","ask":{"addTargets":{"name":"slow","targets":["10.0.0.7:80,443","[2001:db8::/32]:1-65535","db.example.com"]}}}
{"version":1,"pod":"shop/web-0","ask":{"removeTargets":{"name":"slow","targets":["10.0.0.0/8"]}}}
{"version":1,"pod":"/","ask":{"addTargets":{"name":"slow","targets":["0.0.0.0/0","::/0",""]}}}
"unknownPod"
{"uid":"7d5ad3c8-0000-4000-8000-000000000000"}
{"failed":{"exit":4,"message":"what became of it"}}
{"listed":{"remains":["nca2-0"],"listed":[{"name":"slow","device":"eth0","state":"active","created":1.5,"endsIn":3.25,"packets":1,"bytes":98,"firstPacketAgo":null,"lastPacketAgo":1e300,"to":{"packets":1,"bytes":98,"segments":1,"dropped":0,"firstPacketAgo":0.5,"lastPacketAgo":0.25},"spec":{"apiVersion":"netchaos/v1","kind":"Experiment","name":"slow","fault":{"delay":{"latency":"50ms"}},"to":["10.0.0.7"]},"addresses":{"db":["10.0.0.7"]}}]}}"#;

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if let Some(Question { ask, .. }) = check::<Question>(text) {
        match ask {
            Ask::AddTargets { targets, .. } | Ask::RemoveTargets { targets, .. } => {
                targets
                    .iter()
                    .for_each(|target: &Target| grammar::check_target(target));
            }
            Ask::Uid | Ask::List => {}
        }
    }
    check::<Answer>(text);
}

/// What is understood is written so that it is understood again.
fn check<T: Serialize + DeserializeOwned>(text: &str) -> Option<T> {
    match serde_json::from_str::<T>(text) {
        Ok(value) => {
            let written = serde_json::to_string(&value).expect("it can be written");
            let again: T =
                serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
            assert_eq!(serde_json::to_string(&again).unwrap(), written);
            assert!(!written.contains('\n'), "two lines: {written}");
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
