//! Blobs that are kept with a domain.

use crate::{
    answer::Answer,
    error::{Error, Kind},
    host::{Host, Ran},
    request::Request,
    stage::Stages,
};

impl Host {
    /// The keys of a domain's blobs, with their lengths in bytes.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn userdata_list(&self, domain: &str) -> Result<Vec<(String, u64)>, Error> {
        self.userdata_list_blocking(domain)
    }

    /// [`userdata_list`](Self::userdata_list) for callers without a runtime.
    ///
    /// # Errors
    /// As [`userdata_list`](Self::userdata_list).
    pub fn userdata_list_blocking(&self, domain: &str) -> Result<Vec<(String, u64)>, Error> {
        let (_, row) = self.find(domain)?;
        let keys = self.0.store()?.snapshot(|snapshot| snapshot.userdata_keys(row.uuid))?;
        Ok(keys.into_iter().map(|key| (key.key, key.length)).collect())
    }

    /// One blob.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for the domain or the key.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn userdata_get(&self, domain: &str, key: &str) -> Result<Vec<u8>, Error> {
        self.userdata_get_blocking(domain, key)
    }

    /// [`userdata_get`](Self::userdata_get) for callers without a runtime.
    ///
    /// # Errors
    /// As [`userdata_get`](Self::userdata_get).
    pub fn userdata_get_blocking(&self, domain: &str, key: &str) -> Result<Vec<u8>, Error> {
        let (_, row) = self.find(domain)?;
        let found = self.0.store()?.snapshot(|snapshot| snapshot.userdata(row.uuid, key))?;
        found.ok_or_else(|| no_key(&row.name, key))
    }

    async fn userdata(
        &self,
        verb: &'static str,
        domain: &str,
        key: &str,
        value: Option<Vec<u8>>,
        request: &Request,
    ) -> Result<Answer, Error> {
        const LONGEST_KEY: usize = 256;
        let stages = Stages::begin(verb, domain);
        stages
            .time(async {
                let (of, row) = self.find(domain)?;
                if key.is_empty() || key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
                    let words =
                        format!("a key has 1 to {LONGEST_KEY} bytes and no control characters");
                    return Err(Error::new(Kind::Invalid, words));
                }
                let operation = self.operation_in(&stages, &row.name, request, 10);
                let ran = Ran { operation: &operation, uuid: row.uuid };
                let current = request.if_revision.is_none_or(|wanted| wanted == row.revision);
                if request.if_needed && current {
                    let kept =
                        self.0.store()?.snapshot(|snapshot| snapshot.userdata(row.uuid, key))?;
                    if kept == value {
                        let mut answer = ran.answer(None, Vec::new());
                        answer.revision = Some(row.revision);
                        return Ok(answer);
                    }
                }
                stages.enter("settle");
                let changed = operation
                    .write_userdata(of, key.to_owned(), value, request.if_revision)
                    .await?;
                match changed {
                    Some(_) => Ok(ran.answer(None, Vec::new())),
                    None => Err(no_key(&row.name, key)),
                }
            })
            .await
    }

    /// Keeps a blob of the domain's under a key. It goes with the domain.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Kept or not.
    pub async fn userdata_put(
        &self,
        domain: &str,
        key: &str,
        value: Vec<u8>,
        request: &Request,
    ) -> Result<Answer, Error> {
        self.userdata("userdata put", domain, key, Some(value), request).await
    }

    /// Forgets a blob.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Forgotten or not.
    pub async fn userdata_remove(
        &self,
        domain: &str,
        key: &str,
        request: &Request,
    ) -> Result<Answer, Error> {
        self.userdata("userdata remove", domain, key, None, request).await
    }
}

fn no_key(name: &str, key: &str) -> Error {
    Error::new(Kind::NotFound, format!("the domain {name:?} has no userdata {key:?}"))
        .hint("`steadfast userdata list` shows the keys")
}
