//! Verbs that make the mistakes of others, each as small as its mistake.
//!
//! The types of the protocol let none of them be written there. They go to the platform with bare hands: what an owner
//! has is loose here, and a section may write what it likes. Where a mistake is not an order of steps but a property of
//! the world they run in, it is a [`Rule`](crate::Rule) that is broken under the production verbs instead.

mod attach;
mod destroy;
mod detach;
mod loose;
mod start;

use steadfast_protocol::{Domain, Error, Platform};

use crate::{Came, Ending, Gadget};

/// Whose mistake, and in which verb.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// An attach that tells QEMU first and the record last, as libxl does (R1).
    RecordLast(u8, Gadget),
    /// An attach that takes a timeout for a failure, as clients of a monitor do (R12).
    TimeoutIsFailure(u8, Gadget),
    /// A detach that asks QEMU again while its own removal is pending, as managers that retry do (R16).
    AskAgain(u8),
    /// A detach that frees the back end before the front end, as a teardown in the order of creation does (R15).
    BackEndFirst(u8),
    /// A start that marks nothing while it builds: a tombstone is all it respects (R9).
    Unannounced,
    /// A destroy that looks for a QEMU once and then acts on the look, as the scheme of 2018 left open (R8).
    OneLook,
    /// A destroy that takes its kill for an exit (R14).
    KillIsExit,
}

impl Mistake {
    pub(crate) async fn make<P: Platform<Spec = Gadget>>(
        self,
        platform: &P,
        domain: Domain,
    ) -> Result<Ending, Error<P>> {
        let (id, came) = match self {
            Self::RecordLast(id, spec) => {
                (id, attach::record_last(platform, domain, id, spec).await?)
            }
            Self::TimeoutIsFailure(id, spec) => {
                (id, attach::timeout_is_failure(platform, domain, id, spec).await?)
            }
            Self::AskAgain(id) => (id, detach::ask_again(platform, domain, id).await?),
            Self::BackEndFirst(id) => (id, detach::back_end_first(platform, domain, id).await?),
            Self::Unannounced => return start::unannounced(platform, domain).await,
            Self::OneLook => return destroy::one_look(platform, domain).await,
            Self::KillIsExit => return destroy::kill_is_exit(platform, domain).await,
        };
        Ok(Ending::Devices(vec![(id, came)]))
    }
}

/// A word on one device.
type Told<P> = Result<Came, Error<P>>;
