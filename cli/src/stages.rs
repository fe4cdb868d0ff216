//! What `-v` says of a verb's stages: each with its duration, from the spans that the answer's `timing` is made of.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::printable::printable;

/// Writes a line for every stage that is over.
pub(crate) struct StageTimes;

/// What a stage's span says of it.
#[derive(Debug, Default, PartialEq)]
struct Stage {
    domain: String,
    verb: String,
    stage: String,
    ms: Option<f64>,
}

impl Visit for Stage {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "ms" {
            self.ms = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let known = match field.name() {
            "domain" => &mut self.domain,
            "verb" => &mut self.verb,
            "stage" => &mut self.stage,
            _ => return,
        };
        value.clone_into(known);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Stage {
    /// Nothing for a stage that is not over.
    fn line(&self) -> Option<String> {
        let Self { domain, verb, stage, ms } = self;
        Some(format!("{verb} {}: {stage} took {:.3} ms", printable(domain), (*ms)?))
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for StageTimes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == "stage"
            && let Some(span) = context.span(id)
        {
            let mut stage = Stage::default();
            attributes.record(&mut stage);
            span.extensions_mut().insert(stage);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(stage) = span.extensions_mut().get_mut::<Stage>()
        {
            values.record(stage);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(told) = span.extensions().get::<Stage>().and_then(Stage::line) else { return };
        let mut line = String::new();
        // Only a formatter of ours could fail, and a clock that can't be read leaves its place empty.
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        let _ = writeln!(line, " {:>5} {}: {told}", Level::DEBUG, span.metadata().target());
        // Where stderr is gone, there is nobody to tell.
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_told_with_its_duration_once_it_is_over() {
        let mut stage = Stage {
            domain: "web\u{1b}1".into(),
            verb: "attach".into(),
            stage: "intent".into(),
            ms: None,
        };
        assert_eq!(stage.line(), None);
        stage.ms = Some(0.3514);
        assert_eq!(stage.line().unwrap(), "attach web\\u{1b}1: intent took 0.351 ms");
    }
}
