//! netchaos' state maps, written by somebody else.

use aya::{
    Pod,
    maps::{Array, Map, MapData},
    programs::loaded_programs,
};
use netchaos_common::abi::{Meta, State};

use crate::lab::Lab;

/// Changes what the maps say of themselves, as a call that died or another netchaos would leave it.
///
/// # Panics
/// When there is no program behind the pair, or it holds no such map.
#[track_caller]
pub fn change_meta(lab: &Lab, change: impl FnOnce(&mut Meta)) {
    change_entry(lab, "META", 0, change);
}

/// Changes where and how the experiment in a slot is written.
///
/// # Panics
/// As [`change_meta`], and when there is no such slot.
#[track_caller]
pub fn change_state(lab: &Lab, slot: u32, change: impl FnOnce(&mut State)) {
    change_entry(lab, "STATES", slot, change);
}

#[track_caller]
fn change_entry<T: Pod>(lab: &Lab, map: &str, index: u32, change: impl FnOnce(&mut T)) {
    let mut map: Array<MapData, T> = array(lab, map);
    let mut held = map.get(&index, 0).expect("an entry");
    change(&mut held);
    map.set(index, held, 0).expect("root may write it");
}

#[track_caller]
fn array<T: Pod>(lab: &Lab, name: &str) -> Array<MapData, T> {
    let at = format!("filter show dev {} egress", lab.lower_device());
    let filters = lab.client.tc_json(&at);
    let filters = filters.as_array().expect("an array");
    let id = filters
        .iter()
        .find_map(|filter| filter["options"]["prog"]["id"].as_u64());
    let id = id.unwrap_or_else(|| panic!("no program: {filters:?}"));
    let program = loaded_programs()
        .flatten()
        .find(|info| u64::from(info.id()) == id);
    let maps = program
        .expect("it is loaded")
        .map_ids()
        .expect("root may ask");
    let named = |id: &u32| {
        let map = MapData::from_id(*id).expect("root may open it");
        let is_it = map
            .info()
            .is_ok_and(|info| info.name_as_str() == Some(name));
        is_it.then_some(map)
    };
    let map = maps.expect("a kernel that tells").iter().find_map(named);
    let map = map.unwrap_or_else(|| panic!("no map {name}"));
    Map::Array(map).try_into().expect("its type")
}
