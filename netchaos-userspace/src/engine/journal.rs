//! The state map: what is to be, written down before it is done.

use netchaos_common::abi::{ABI_VERSION, CHUNK, MAGIC, Meta, SLOTS, State};

use super::{
    error::Error,
    observe::{Known, Site},
};
use crate::{kernel::bpf::Entry as _, plan::Laid};

/// The head of the state map. It is `dirty` while the maps are on their way.
pub(super) const fn meta(dirty: bool) -> Meta {
    Meta {
        magic: MAGIC,
        abi: ABI_VERSION,
        dirty: dirty as u32,
        reserved: 0,
    }
}

/// Pieces that the texts take while an old and a new one are there side by side.
pub(super) fn chunks(laid: &[Laid]) -> u32 {
    let pieces = |laid| text(laid).map_or(0, |text| text.len().div_ceil(CHUNK));
    2 * laid.iter().map(pieces).sum::<usize>() as u32
}

fn text(laid: &Laid) -> Result<String, Error> {
    serde_json::to_string(laid).map_err(|error| Error::Refused(format!("{error}")))
}

impl Site {
    /// Writes down what is to be. Experiments that stay as they are keep their texts.
    pub(super) fn write_journal(&mut self, new: &[Laid]) -> Result<(), Error> {
        let Known::Open {
            maps, laid: old, ..
        } = &mut self.state
        else {
            return Err(Error::ReadBack("the maps have gone".into()));
        };
        maps.records.meta.write(0, meta(true))?;
        let mut states = Vec::new();
        for slot in 0..SLOTS as u32 {
            states.push(maps.records.states.read(slot)?);
        }
        let mut kept = Vec::new();
        // What stays first: an experiment that moves is written in its new slot before it goes from
        // its old one, or a call that dies in between would leave none.
        let staying = new.iter().filter(|laid| !laid.going);
        let going = new.iter().filter(|laid| laid.going);
        for laid in staying.chain(going) {
            let slot = usize::from(laid.slot);
            let stays_as_it_is = old.iter().any(|old| old.says_the_same(laid));
            let mut state = states[slot];
            if !stays_as_it_is {
                let text = text(laid)?;
                let is_free = |number: &u32| states.iter().all(|state| state.text != *number);
                state.text = (1..).find(is_free).unwrap_or(u32::MAX);
                state.length = text.len() as u32;
                maps.records.put_text(state.text, &text)?;
            }
            state.created = laid.created;
            state.phase = if laid.going {
                State::GOES
            } else {
                State::STAYS
            };
            // From this write on the experiment is what the new text says.
            maps.records.states.write(u32::from(laid.slot), state)?;
            states[slot] = state;
            kept.push(state.text);
        }
        Ok(maps.records.keep_texts(&kept)?)
    }

    /// What has gone is no longer wanted, and what it has counted is with what it has become. Its
    /// slot is free.
    pub(super) fn strike_out(&mut self, going: &[Laid]) -> Result<(), Error> {
        let maps = self.maps()?;
        for gone in going {
            let slot = u32::from(gone.slot);
            maps.records.states.write(slot, State::default())?;
        }
        Ok(())
    }

    /// All has been done.
    pub(super) fn close_journal(&mut self, staying: Vec<Laid>) -> Result<(), Error> {
        let Known::Open { maps, laid, dirty } = &mut self.state else {
            return Err(Error::ReadBack("the maps have gone".into()));
        };
        maps.records.meta.write(0, meta(false))?;
        *laid = staying;
        *dirty = false;
        Ok(())
    }
}
