//! define and undefine: the record alone, one section each.

use crate::{
    Conflict, Domain, Error, Generation, Phase, Platform, Revision, Row, Session, Spec, Terms, View,
};

/// What to do about a record of the same domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Replace {
    /// Fail.
    #[default]
    Refuse,
    /// Replace it, where nothing runs.
    Allow,
}

/// What a domain is, before it has a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Definition<S: Spec> {
    /// Controllers and ports.
    pub layout: S::Layout,
    /// The rest of the document.
    pub document: S::Document,
    /// Its devices.
    pub devices: Vec<(S::Id, S)>,
}

impl<P: Platform> Session<'_, P> {
    /// Records a domain.
    ///
    /// # Errors
    /// [`Conflict::DomainExists`], or with [`Replace::Allow`] one that runs.
    ///
    /// # Cancel safety
    /// Recorded or not.
    ///
    /// # Lock order
    /// `Fast`.
    pub async fn define(
        &mut self,
        domain: Domain,
        definition: Definition<P::Spec>,
        replace: Replace,
        terms: Terms,
    ) -> Result<(), Error<P>> {
        let grounded = match replace {
            Replace::Allow => self.ground(domain).await,
            Replace::Refuse => self.finish_marked(domain).await,
        };
        match grounded {
            Ok(()) | Err(Error::Conflict(Conflict::Gone)) => {}
            Err(error) => return Err(error),
        }
        self.platform().stage(None, "settle");
        self.fast(domain, View::all().placing().durable(), move |tx| {
            tx.whole(|tx| {
                let (mut generation, mut revision) = (Generation::default(), Revision::default());
                if replace == Replace::Allow
                    && let Some(row) = tx.row().cloned()
                {
                    tx.defined()?;
                    tx.expect(terms.revision)?;
                    (generation, revision) = (row.generation, row.revision);
                    tx.erase();
                }
                let Definition { layout, document, devices } = definition;
                let phase = Phase::Defined;
                tx.define(Row { generation, phase, revision, layout, document }, devices)
            })
        })
        .await??;
        Ok(())
    }

    /// Forgets a domain that does not run.
    ///
    /// # Errors
    /// [`Conflict::Gone`], or it runs.
    ///
    /// # Cancel safety
    /// Forgotten or not.
    ///
    /// # Lock order
    /// `Fast`; `Slow` where a dead builder's row is taken back first.
    pub async fn undefine(&mut self, domain: Domain, terms: Terms) -> Result<(), Error<P>> {
        self.ground(domain).await?;
        self.platform().stage(None, "settle");
        self.fast(domain, View::all().durable(), move |tx| {
            tx.defined()?;
            tx.expect(terms.revision)?;
            tx.erase();
            Ok::<_, Conflict<P::Spec>>(())
        })
        .await??;
        Ok(())
    }
}
