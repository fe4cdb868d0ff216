//! What the types are for: describe, plug, settle; a snapshot; a slow lock for its own sake.

use steadfast_protocol::{
    Domain, Error, Generation, Ground, Id, Plan, Platform, Session, Terms, View,
};

pub async fn case<P: Platform>(
    platform: &P,
    wanted: Vec<(Id<P>, P::Spec)>,
) -> Result<(), Error<P>> {
    let mut session = Session::new(platform);
    let domain = Domain(1);
    drop(session.slow(domain, Generation(1)).await?);
    let known = session.inspect(domain, View::all(), |tx| tx.devices().clone()).await?;
    drop(known);
    if let Ground::Live(mut owner) = session.begin(domain).await? {
        match owner.describe(wanted.clone(), None).await?.plug().await? {
            Ok(plugged) => plugged.settle().await?,
            Err(refused) => drop(refused.undo(Plan::Whole).await?),
        }
    }
    session.attach(domain, wanted, Plan::Whole, Terms::default()).await?;
    Ok(())
}

fn main() {}
