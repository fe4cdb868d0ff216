//! How far a verb is, and how long it was in each stage: one source, the spans.
//!
//! Each stage is a `tracing` span (target `steadfast`, name `stage`; fields `domain`, `verb`, `stage`, and `ms` once it is
//! over). The object that opens and closes it keeps what the answer tells as `timing`, so that both say the same; it does so
//! whether or not anybody subscribes, for two readings of the clock.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{Span, field::Empty};

use crate::{answer::Answer, error::Error};

/// The stages of one verb, one open at a time. Clones share them.
#[derive(Clone)]
pub(crate) struct Stages(Arc<Inner>);

struct Inner {
    verb: &'static str,
    domain: String,
    now: Mutex<Now>,
}

struct Now {
    open: Open,
    spent: Spent,
}

/// A stage under way.
struct Open {
    stage: &'static str,
    since: Instant,
    span: Span,
}

/// Time by stage, in the order in which the stages were first entered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent(Vec<(&'static str, Duration)>);

/// A wait inside of a stage, which goes on when this is dropped.
#[must_use = "the stage goes on when this is dropped"]
pub(crate) struct Wait {
    stages: Stages,
    inside: &'static str,
}

impl Stages {
    /// Of a verb that begins now; `domain` as its user gave it.
    pub(crate) fn begin(verb: &'static str, domain: &str) -> Self {
        let now = Now { open: Open::new(verb, domain, "begin"), spent: Spent::default() };
        Self(Arc::new(Inner { verb, domain: domain.to_owned(), now: Mutex::new(now) }))
    }

    pub(crate) fn verb(&self) -> &'static str {
        self.0.verb
    }

    /// Ends the stage under way and enters this one; answers which was left.
    pub(crate) fn enter(&self, stage: &'static str) -> &'static str {
        let mut now = self.0.now.lock();
        let next = Open::new(self.0.verb, &self.0.domain, stage);
        let at = next.since;
        let left = std::mem::replace(&mut now.open, next);
        left.close(at, &mut now.spent)
    }

    /// A wait that is to be told apart from the work of the stage it happens in.
    pub(crate) fn wait(&self, stage: &'static str) -> Wait {
        Wait { inside: self.enter(stage), stages: self.clone() }
    }

    /// Runs the verb to its end; the answer or the error has the time it took. In a box, for the states of a verb take
    /// kilobytes, which would be here and with the caller.
    pub(crate) fn time(
        &self,
        verb: impl Future<Output = Result<Answer, Error>>,
    ) -> impl Future<Output = Result<Answer, Error>> {
        let verb = Box::pin(verb);
        async { self.tell(verb.await) }
    }

    fn tell(&self, answered: Result<Answer, Error>) -> Result<Answer, Error> {
        self.enter("end");
        let spent = self.0.now.lock().spent.clone();
        match answered {
            Ok(mut answer) => {
                answer.timing = spent.milliseconds();
                Ok(answer)
            }
            Err(error) => Err(error.after(spent)),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.stages.enter(self.inside);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.now.get_mut().open.record(Instant::now());
    }
}

impl Open {
    fn new(verb: &'static str, domain: &str, stage: &'static str) -> Self {
        let span =
            tracing::debug_span!(target: "steadfast", "stage", domain, verb, stage, ms = Empty);
        Self { stage, since: Instant::now(), span }
    }

    fn close(self, at: Instant, spent: &mut Spent) -> &'static str {
        spent.add(self.stage, self.record(at));
        self.stage
    }

    fn record(&self, at: Instant) -> Duration {
        let duration = at.saturating_duration_since(self.since);
        self.span.record("ms", milliseconds(duration));
        duration
    }
}

impl Spent {
    fn add(&mut self, stage: &'static str, duration: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, spent)) => *spent += duration,
            None => self.0.push((stage, duration)),
        }
    }

    /// As an answer tells it.
    pub(crate) fn milliseconds(&self) -> BTreeMap<String, f64> {
        self.0.iter().map(|(stage, spent)| ((*stage).to_owned(), milliseconds(*spent))).collect()
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Log;

    use tracing::{
        Event, Id, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Record},
    };

    use super::*;
    use crate::error::Kind;

    /// What is told of each span that closes.
    #[derive(Default)]
    struct Told(Log<Vec<(u64, BTreeMap<String, String>)>>);

    struct Fields<'t>(&'t mut BTreeMap<String, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.insert(field.name().to_owned(), format!("{value:?}"));
        }
    }

    impl Subscriber for Told {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "steadfast" && metadata.is_span()
        }
        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut told = self.0.lock().unwrap();
            let mut fields = BTreeMap::new();
            span.record(&mut Fields(&mut fields));
            let id = told.len() as u64 + 1;
            told.push((id, fields));
            Id::from_u64(id)
        }
        fn record(&self, span: &Id, values: &Record<'_>) {
            let mut told = self.0.lock().unwrap();
            let found = told.iter_mut().find(|(id, _)| *id == span.into_u64());
            values.record(&mut Fields(&mut found.unwrap().1));
        }
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn run() -> BTreeMap<String, f64> {
        let stages = Stages::begin("attach", "web1");
        stages.enter("intent");
        drop(stages.wait("gate"));
        stages.enter("settle");
        stages.tell(Err(Error::new(Kind::Unknown, "silent"))).unwrap_err().timing()
    }

    #[test]
    fn a_stage_goes_on_after_a_wait_inside_of_it_and_nobody_needs_to_subscribe() {
        let timing = run();
        let stages: Vec<_> = timing.keys().map(String::as_str).collect();
        assert_eq!(stages, ["begin", "gate", "intent", "settle"]);
    }

    #[test]
    fn each_stage_is_a_span_and_what_the_answer_tells_is_the_sum_of_them() {
        let told = Arc::new(Told::default());
        let timing = tracing::subscriber::with_default(Arc::clone(&told), run);
        let mut sums = BTreeMap::<String, f64>::new();
        for (_, fields) in told.0.lock().unwrap().iter() {
            assert_eq!((&*fields["domain"], &*fields["verb"]), ("\"web1\"", "\"attach\""));
            let stage = fields["stage"].trim_matches('"').to_owned();
            *sums.entry(stage).or_default() += fields["ms"].parse::<f64>().unwrap();
        }
        sums.remove("end");
        assert_eq!(sums.len(), timing.len());
        for (stage, ms) in timing {
            assert!((sums[&stage] - ms).abs() < 1e-9, "{stage}");
        }
    }
}
