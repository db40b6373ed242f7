//! What host and VM say to each other over one virtio-serial port.
//!
//! A frame is a kind (one byte), a length (four bytes, little endian) and so many bytes. One port for everything keeps
//! the command's outputs and its end in order; a port of virtio-serial carries every byte as it is.

use std::io::{self, Read, Write};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// More than any frame that is sent: a length beyond it means that something else writes to the port.
const LONGEST: u32 = 1 << 24;

/// What the VM is asked to do.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The command and its arguments; bytes, since a path need not be UTF-8.
    pub argv: Vec<Vec<u8>>,
    /// Where it starts, if the VM has that folder.
    pub cwd: Vec<u8>,
    /// Its whole environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The host's clock, in nanoseconds since 1970.
    pub realtime_ns: u64,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// VM to host: booted, waits for the job.
    Booted,
    /// Host to VM: the job.
    Job(Job),
    /// VM to host: what the command wrote to stdout.
    Out(Vec<u8>),
    /// VM to host: what the command wrote to stderr.
    Err(Vec<u8>),
    /// VM to host: the command's status as a shell has it in `$?`; the last frame.
    Exit(i32),
}

impl Frame {
    /// # Errors
    /// When the other side is gone.
    pub fn write(&self, port: &mut impl Write) -> Result<()> {
        let job;
        let status;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Booted => (b'B', &[]),
            Self::Job(what) => {
                job = serde_json::to_vec(what)?;
                (b'J', &job)
            }
            Self::Out(bytes) => (b'O', bytes),
            Self::Err(bytes) => (b'E', bytes),
            Self::Exit(code) => {
                status = code.to_le_bytes();
                (b'X', &status)
            }
        };
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|length| *length <= LONGEST)
            .context("frame too long")?;
        let frame = [&[kind], &length.to_le_bytes()[..], payload].concat();
        port.write_all(&frame)
            .context("the other side of the VM's port is gone")
    }

    /// The next frame; none at the end of the stream.
    ///
    /// # Errors
    /// When what comes is no frame, or reading fails.
    pub fn read(port: &mut impl Read) -> Result<Option<Self>> {
        let mut kind = [0];
        loop {
            match port.read(&mut kind) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // QEMU went away with bytes of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let mut length = [0; 4];
        port.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            bail!("a frame of {length} bytes on the VM's port");
        }
        let mut payload = vec![0; length as usize];
        port.read_exact(&mut payload)?;
        Ok(Some(match kind[0] {
            b'B' => Self::Booted,
            b'J' => Self::Job(serde_json::from_slice(&payload)?),
            b'O' => Self::Out(payload),
            b'E' => Self::Err(payload),
            b'X' => Self::Exit(i32::from_le_bytes(payload.as_slice().try_into()?)),
            other => bail!("a frame of kind {other} on the VM's port"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let job = Job {
            argv: vec![b"sh".to_vec(), b"\xff 'a\n".to_vec()],
            cwd: b"/".to_vec(),
            env: vec![(b"A".to_vec(), b"b=c".to_vec())],
            realtime_ns: u64::MAX,
        };
        let every_byte: Vec<u8> = (0..=255).collect();
        let frames = [
            Frame::Booted,
            Frame::Job(job),
            Frame::Out(every_byte),
            Frame::Err(Vec::new()),
            Frame::Exit(-1),
        ];
        let mut stream = Vec::new();
        for frame in &frames {
            frame.write(&mut stream).unwrap();
        }
        let mut stream = stream.as_slice();
        for frame in frames {
            assert_eq!(Frame::read(&mut stream).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read(&mut stream).unwrap(), None);
    }

    #[test]
    fn noise_is_an_error() {
        assert!(Frame::read(&mut &b"Linux version 6.12"[..]).is_err());
        assert!(Frame::read(&mut &b"O\x05\0\0\0abc"[..]).is_err());
    }
}
