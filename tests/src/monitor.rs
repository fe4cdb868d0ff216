//! A raw QMP client: one connection, one command at a time.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Failure, Result};

/// A connection to QEMU's own monitor. One socket serves one client at a time, so keep it short.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
    events: Vec<Value>,
}

/// QEMU's `error` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `GenericError`, `DeviceNotFound`, …
    pub class: String,
    /// The text.
    pub description: String,
}

impl Monitor {
    /// Connects, reads the greeting and leaves negotiation. Every later wait ends after `patience`.
    ///
    /// # Errors
    /// No such socket, or no greeting in time (QEMU is stopped, or another client holds the socket).
    pub fn connect(path: &Path, patience: Duration) -> Result<Monitor> {
        let stream = UnixStream::connect(path)
            .map_err(|error| Failure::new(format!("monitor {}: {error}", path.display())))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut monitor = Monitor { reader: BufReader::new(stream), events: Vec::new() };
        let greeting = monitor.line()?;
        if !greeting["QMP"].is_object() {
            return Err(Failure::new(format!(
                "monitor {}: no greeting but {greeting}",
                path.display()
            )));
        }
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// QEMU refused it, or did not answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.attempt(command, arguments)?.map_err(|refusal| {
            Failure::new(format!(
                "QEMU refused {command}: {}: {}",
                refusal.class, refusal.description
            ))
        })
    }

    /// Runs a command and gives QEMU's answer, refusal or not.
    ///
    /// # Errors
    /// QEMU did not answer.
    pub fn attempt(
        &mut self,
        command: &str,
        arguments: Value,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let mut line = serde_json::to_vec(
            &json!({"execute": command, "arguments": arguments, "id": command}),
        )?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line)?;
        loop {
            let answer =
                self.line().map_err(|error| Failure::new(format!("{command}: {error}")))?;
            if answer["event"].is_string() {
                self.events.push(answer);
            } else if answer["id"] == command {
                return Ok(match answer.get("error") {
                    None => Ok(answer["return"].clone()),
                    Some(error) => Err(Refusal {
                        class: error["class"].as_str().unwrap_or_default().to_owned(),
                        description: error["desc"].as_str().unwrap_or_default().to_owned(),
                    }),
                });
            }
        }
    }

    /// Waits for an event that satisfies the condition, and gives its data.
    ///
    /// # Errors
    /// None came before the patience given to [`connect`](Monitor::connect) ended.
    pub fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let fits = |event: &Value| event["event"] == name && wanted(&event["data"]);
        loop {
            if let Some(place) = self.events.iter().position(fits) {
                return Ok(self.events.remove(place)["data"].clone());
            }
            let next = self
                .line()
                .map_err(|error| Failure::new(format!("waiting for {name}: {error}")))?;
            self.events.push(next);
        }
    }

    /// The names below a QOM path, without the `type` property.
    ///
    /// # Errors
    /// QEMU refused, or did not answer.
    pub fn children(&mut self, path: &str) -> Result<Vec<String>> {
        Ok(self.typed_children(path)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The names below a QOM path, each with its type (`child<TYPE>`).
    ///
    /// # Errors
    /// QEMU refused, or did not answer.
    pub fn typed_children(&mut self, path: &str) -> Result<Vec<(String, String)>> {
        let answer = self.execute("qom-list", json!({"path": path}))?;
        let entries = answer.as_array().cloned().unwrap_or_default();
        let typed = entries
            .iter()
            .filter_map(|entry| Some((entry["name"].as_str()?, entry["type"].as_str()?)));
        let children = typed.filter(|(_, kind)| kind.starts_with("child<"));
        Ok(children.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect())
    }

    /// The ids of the devices that have one.
    ///
    /// # Errors
    /// QEMU refused, or did not answer.
    pub fn devices(&mut self) -> Result<Vec<String>> {
        self.children("/machine/peripheral")
    }

    /// The block nodes that somebody named; QEMU's own begin with `#`.
    ///
    /// # Errors
    /// QEMU refused, or did not answer.
    pub fn nodes(&mut self) -> Result<Vec<String>> {
        let answer = self.execute("query-named-block-nodes", json!({"flat": true}))?;
        let nodes = answer.as_array().cloned().unwrap_or_default();
        let names = nodes.iter().filter_map(|node| node["node-name"].as_str());
        Ok(names.filter(|name| !name.starts_with('#')).map(str::to_owned).collect())
    }

    /// The netdevs, with a NIC or without.
    ///
    /// There is no QMP command that lists a netdev without a NIC, so this reads the human monitor's
    /// text, where a netdev's line has its type after the colon and a NIC's has `index`.
    ///
    /// # Errors
    /// QEMU refused, or did not answer.
    pub fn netdevs(&mut self) -> Result<Vec<String>> {
        let answer =
            self.execute("human-monitor-command", json!({"command-line": "info network"}))?;
        let text = answer.as_str().unwrap_or_default();
        let mut names: Vec<String> = text
            .lines()
            .map(|line| line.trim_start_matches([' ', '\\']))
            .filter(|line| !line.contains("type=nic"))
            .filter_map(|line| line.split_once(": ").map(|(name, _)| name.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn line(&mut self) -> Result<Value> {
        let mut text = String::new();
        if self.reader.read_line(&mut text)? == 0 {
            return Err(Failure::new("QEMU closed the connection"));
        }
        Ok(serde_json::from_str(&text)?)
    }
}
