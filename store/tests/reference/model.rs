//! What a store should be: maps.

use std::collections::BTreeMap;

use crate::step::{End, Name, Part, Step};

/// What a call answered, in words that model and store share.
pub(crate) type Answer = Result<String, String>;

/// Everything that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) domains: BTreeMap<Name, Domain>,
    /// Which domain, and what, by number.
    pub(crate) history: BTreeMap<u64, (Name, String)>,
    pub(crate) counter: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) name: Name,
    pub(crate) revision: u8,
    pub(crate) devices: BTreeMap<Name, (Name, String)>,
    pub(crate) claims: BTreeMap<Name, Name>,
    pub(crate) userdata: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    now: Contents,
    copy: Option<Contents>,
    /// What the handles know of numbers that were drawn: the counter never falls below while one is open.
    floors: BTreeMap<u8, u64>,
    drawn: u64,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    picture: Picture,
    notes: u64,
}

impl Model {
    pub(crate) fn picture(&self) -> Picture {
        self.now.picture.clone()
    }

    pub(crate) fn take(&mut self, step: &Step) -> Vec<Answer> {
        match step {
            Step::Section { handle, domain, parts, end } => {
                self.section(*handle, *domain, parts, *end)
            }
            Step::Open { handle } => {
                self.floors.insert(*handle, 0);
                Vec::new()
            }
            Step::Backup { .. } => {
                self.copy = Some(self.now.clone());
                Vec::new()
            }
            Step::Restore => {
                if let Some(copy) = &self.copy {
                    self.now = copy.clone();
                    // Whoever opens it is told the largest number that a QEMU may know.
                    self.floors = (0..3).map(|handle| (handle, self.drawn)).collect();
                }
                Vec::new()
            }
        }
    }

    fn section(&mut self, handle: u8, domain: Name, parts: &[Part], end: End) -> Vec<Answer> {
        let before = self.now.clone();
        let answers = parts.iter().map(|part| self.part(handle, domain, part)).collect();
        if end != End::Keep {
            self.now = before;
        }
        answers
    }

    fn part(&mut self, handle: u8, of: Name, part: &Part) -> Answer {
        let picture = &mut self.now.picture;
        let none = || Err("no domain".to_owned());
        match part {
            Part::PutDomain { name, revision } => {
                let holder = picture
                    .domains
                    .iter()
                    .find(|(other, domain)| **other != of && domain.name == *name);
                if let Some((holder, _)) = holder {
                    return Err(format!("the name is {holder}'s"));
                }
                let domain = picture.domains.entry(of).or_default();
                (domain.name, domain.revision) = (*name, *revision);
                Ok(String::new())
            }
            Part::RemoveDomain => Ok(picture.domains.remove(&of).is_some().to_string()),
            Part::Named { name } => {
                let found = picture.domains.iter().find(|(_, domain)| domain.name == *name);
                Ok(format!("{:?}", found.map(|(of, _)| *of)))
            }
            Part::PutDevice { id, phase, text } => {
                let Some(domain) = picture.domains.get_mut(&of) else { return none() };
                domain.devices.insert(*id, (*phase, text.clone()));
                Ok(String::new())
            }
            Part::RemoveDevice { id } => {
                let Some(domain) = picture.domains.get_mut(&of) else {
                    return Ok("false".to_owned());
                };
                domain.claims.retain(|_, device| device != id);
                Ok(domain.devices.remove(id).is_some().to_string())
            }
            Part::Claim { id, claims } => {
                let Some(domain) = picture.domains.get_mut(&of) else {
                    return Err("no device".to_owned());
                };
                if !domain.devices.contains_key(id) {
                    return Err("no device".to_owned());
                }
                let taken = domain
                    .claims
                    .iter()
                    .find(|(claim, device)| *device != id && claims.contains(claim));
                if let Some((claim, device)) = taken {
                    return Err(format!("{claim} is {device}'s"));
                }
                domain.claims.retain(|_, device| device != id);
                domain.claims.extend(claims.iter().map(|claim| (*claim, *id)));
                Ok(String::new())
            }
            Part::PutUserdata { key, value } => {
                let Some(domain) = picture.domains.get_mut(&of) else { return none() };
                domain.userdata.insert(key.clone(), value.clone());
                Ok(String::new())
            }
            Part::RemoveUserdata { key } => {
                let domain = picture.domains.get_mut(&of);
                Ok(domain.is_some_and(|domain| domain.userdata.remove(key).is_some()).to_string())
            }
            Part::Note { text } => {
                self.now.notes += 1;
                picture.history.insert(self.now.notes, (of, text.clone()));
                Ok(self.now.notes.to_string())
            }
            Part::ForgetHistory => {
                let before = picture.history.len();
                picture.history.retain(|_, (domain, _)| *domain != of);
                Ok((before - picture.history.len()).to_string())
            }
            Part::Draw => {
                let floor = self.floors.entry(handle).or_default();
                picture.counter = picture.counter.max(*floor) + 1;
                *floor = (*floor).max(picture.counter);
                self.drawn = self.drawn.max(picture.counter);
                Ok(picture.counter.to_string())
            }
            Part::Advance { by } => {
                let floor = self.floors.entry(handle).or_default();
                picture.counter = picture.counter.max(self.drawn + u64::from(*by));
                *floor = (*floor).max(picture.counter);
                self.drawn = self.drawn.max(picture.counter);
                Ok(String::new())
            }
        }
    }
}
