//! The futures of all verbs can be spawned on a runtime of many threads.

use steadfast_protocol::{
    Definition, Domain, Door, Id, Plan, Platform, Press, Replace, Session, Signal, Spec, Swap,
    Terms,
};

fn movable<T: Send>(future: T) {
    drop(future);
}

pub fn case<P: Platform>(
    session: &mut Session<'_, P>,
    definition: Definition<P::Spec>,
    wanted: Vec<(Id<P>, P::Spec)>,
    id: Id<P>,
    swap: Swap<<P::Spec as Spec>::Medium>,
) {
    let (domain, terms) = (Domain(1), Terms::default());
    movable(session.define(domain, definition, Replace::Allow, terms));
    movable(session.undefine(domain, terms));
    movable(session.start(domain, terms));
    movable(session.stop(domain, Door::Ask, terms));
    movable(session.destroy(domain, terms));
    movable(session.attach(domain, wanted, Plan::Whole, terms));
    movable(session.detach(domain, vec![id.clone()], Press::Wait, terms));
    movable(session.media(domain, id, swap, terms));
    movable(session.signal(domain, Signal::Reset, terms));
    movable(session.wait(domain, None));
}

fn main() {}
