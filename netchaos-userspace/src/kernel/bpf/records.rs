//! What the experiments are, in maps whose layout is the same in every netchaos.

use aya::maps::{Array, HashMap, Map, MapData};
use netchaos_common::abi::{CHUNK, Chunk, Meta, State, TextKey};

use super::{
    Error,
    maps::{absent_is_fine, typed},
};

/// The journal, and the experiments' own texts.
pub struct Records {
    pub meta: Array<MapData, Meta>,
    pub states: Array<MapData, State>,
    texts: HashMap<MapData, TextKey, Chunk>,
}

impl Records {
    pub(super) fn collect(mut take: impl FnMut(&str) -> Result<Map, Error>) -> Result<Self, Error> {
        Ok(Self {
            meta: typed("META", take("META")?)?,
            states: typed("STATES", take("STATES")?)?,
            texts: typed("TEXTS", take("TEXTS")?)?,
        })
    }

    /// Writes a text in pieces under a number that is not in use.
    ///
    /// # Errors
    /// The kernel's refusal, for one a full map.
    pub fn put_text(&mut self, text: u32, content: &str) -> Result<(), Error> {
        for (chunk, piece) in content.as_bytes().chunks(CHUNK).enumerate() {
            let mut bytes = [0; CHUNK];
            bytes[..piece.len()].copy_from_slice(piece);
            let key = TextKey {
                text,
                chunk: chunk as u32,
            };
            self.texts
                .insert(key, Chunk { bytes }, 0)
                .map_err(|error| Error::new("write the map TEXTS", error))?;
        }
        Ok(())
    }

    /// # Errors
    /// A piece is missing, or the kernel's refusal.
    pub fn text(&self, text: u32, length: u32) -> Result<String, Error> {
        let what = "read the map TEXTS";
        let mut bytes = Vec::new();
        for chunk in 0..length.div_ceil(CHUNK as u32) {
            let piece = self
                .texts
                .get(&TextKey { text, chunk }, 0)
                .map_err(|error| Error::new(what, error))?;
            bytes.extend(piece.bytes);
        }
        bytes.truncate(length as usize);
        String::from_utf8(bytes).map_err(|error| Error::unexpected(what, error.to_string()))
    }

    /// Deletes every text whose number is not in `keep`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn keep_texts(&mut self, keep: &[u32]) -> Result<(), Error> {
        let mut delete = || {
            let keys: Vec<TextKey> = self.texts.keys().collect::<Result<_, _>>()?;
            for key in keys {
                if !keep.contains(&key.text) {
                    absent_is_fine(self.texts.remove(&key))?;
                }
            }
            Ok::<_, aya::maps::MapError>(())
        };
        delete().map_err(|error| Error::new("delete from the map TEXTS", error))
    }
}
