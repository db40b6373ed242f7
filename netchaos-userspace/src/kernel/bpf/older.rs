//! The maps of a netchaos before this one: read, never written.

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use netchaos_common::abi::{Counter, Counter2, Past};

use super::{
    Error, Records,
    maps::{Earlier, typed},
};

/// Maps as [`netchaos_common::abi::OLDEST_ABI`] has laid them out.
pub struct OlderMaps {
    pub records: Records,
    counters: PerCpuArray<MapData, Counter2>,
    priorities: HashMap<MapData, u32, u32>,
}

impl OlderMaps {
    pub(super) fn collect(mut take: impl FnMut(&str) -> Result<Map, Error>) -> Result<Self, Error> {
        Ok(Self {
            counters: typed("COUNTERS", take("COUNTERS")?)?,
            priorities: typed("PRIORITIES", take("PRIORITIES")?)?,
            records: Records::collect(take)?,
        })
    }
}

impl Earlier for OlderMaps {
    fn counted(&self, slot: u32, ingress: bool) -> Result<Past, Error> {
        let per_cpu = self
            .counters
            .get(&Counter::index(slot, ingress), 0)
            .map_err(|error| Error::new("read the map COUNTERS", error))?;
        let counter = per_cpu.iter().fold(Counter::default(), |sum, cpu| {
            sum.plus(&Counter {
                packets: cpu.packets,
                bytes: cpu.bytes,
                segments: cpu.segments,
                dropped: cpu.dropped,
                first: cpu.first,
                last: cpu.last,
                ..Counter::default()
            })
        });
        Ok(Past {
            counter,
            ..Past::default()
        })
    }

    fn counts_laps(&self) -> bool {
        false
    }

    fn priorities(&self) -> &HashMap<MapData, u32, u32> {
        &self.priorities
    }
}
