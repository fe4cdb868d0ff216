//! A QMP client that does the least: text out, lines in, no JSON read.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::Result;

/// A connection of its own: every reply on it is to the command before.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    line: String,
    deleted: Vec<String>,
}

impl Qmp {
    /// Connects, reads the greeting and leaves negotiation.
    pub fn connect(path: &Path) -> Result<Self> {
        let reader = BufReader::new(UnixStream::connect(path)?);
        let mut qmp = Self { reader, line: String::new(), deleted: Vec::new() };
        qmp.read()?;
        qmp.execute_all(&[r#"{"execute":"qmp_capabilities"}"#])?;
        Ok(qmp)
    }

    /// Sends all commands in one write and reads as many replies. A refusal is a failure.
    pub fn execute_all(&mut self, commands: &[&str]) -> Result<()> {
        self.send(commands, None)?;
        commands.iter().try_for_each(|_| self.reply().map(drop))
    }

    /// As [`execute_all`](Self::execute_all); the first command takes a descriptor along.
    pub fn execute_with(&mut self, commands: &[&str], fd: BorrowedFd<'_>) -> Result<()> {
        self.send(commands, Some(fd))?;
        commands.iter().try_for_each(|_| self.reply().map(drop))
    }

    /// Waits until QEMU has let go of every one of these devices.
    pub fn wait_deleted(&mut self, ids: &[String]) -> Result<()> {
        while !ids.iter().all(|id| self.deleted.contains(id)) {
            self.read()?;
        }
        self.deleted.clear();
        Ok(())
    }

    /// Sends without waiting for the replies.
    pub fn send(&mut self, commands: &[&str], fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let text = commands.join("\n") + "\n";
        let Some(fd) = fd else { return Ok(self.reader.get_mut().write_all(text.as_bytes())?) };
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let whole = [IoSlice::new(text.as_bytes())];
        let sent = sendmsg(self.reader.get_ref(), &whole, &mut control, SendFlags::empty())?;
        Ok(self.reader.get_mut().write_all(&text.as_bytes()[sent..])?)
    }

    /// The next line that is a reply.
    pub fn reply(&mut self) -> Result<&str> {
        loop {
            self.read()?;
            if self.line.starts_with("{\"return\"") {
                return Ok(&self.line);
            }
            if self.line.starts_with("{\"error\"") {
                return Err(format!("QEMU refused: {}", self.line.trim_end()).into());
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        self.line.clear();
        if self.reader.read_line(&mut self.line)? == 0 {
            return Err("QEMU hung up".into());
        }
        if self.line.contains("\"DEVICE_DELETED\"")
            && let Some((_, rest)) = self.line.split_once("\"device\": \"")
            && let Some((id, _)) = rest.split_once('"')
        {
            self.deleted.push(id.to_owned());
        }
        Ok(())
    }
}
