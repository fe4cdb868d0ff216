//! Records against reality.

use clap::Args;
use steadfast::{Access, Error, Finding, Remove, Repair, Report};

use crate::page::{Page, Table, cell};
use crate::reply::{End, Reply, document};
use crate::session::Session;

/// `check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Names or uuids; every domain where left out
    #[arg(value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Repair what can be repaired without taking anything from a guest
    #[arg(long)]
    repair: bool,
    /// Only say what would be repaired
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Also unplug, or kill, what runs without a record and can't be adopted
    #[arg(long, requires = "repair")]
    remove: bool,
}

impl Check {
    fn repair(&self) -> Repair {
        match (self.repair, self.dry_run) {
            (false, _) => Repair::No,
            (true, true) => Repair::DryRun,
            (true, false) => {
                Repair::Yes { remove: if self.remove { Remove::Yes } else { Remove::No } }
            }
        }
    }
}

pub(crate) fn check(check: &Check, session: &Session) -> Result<Reply, Error> {
    let repair = check.repair();
    let access = match repair {
        Repair::Yes { .. } => Access::ReadWrite,
        _ => Access::ReadOnly,
    };
    let report = session
        .check(access, async |host, request| host.check(&check.domains, repair, request).await)?;
    let end = if left(&report).next().is_some() { End::Findings } else { End::Done };
    Ok(Reply::page(document(&report)?, page(&report)).ending(end))
}

/// The findings that are still true.
fn left(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(|finding| finding.repaired != Some(true))
}

fn page(report: &Report) -> Page {
    let looked_at = format!("{} domains, {} devices", report.domains, report.devices);
    let mut page = Page::new();
    if report.findings.is_empty() {
        page = page.line(format!("clean: {looked_at}"));
    } else {
        let mut table = Table::new(&["KIND", "DOMAIN", "DEVICE", "REPAIRED", "DETAIL", "REPAIR"]);
        for finding in &report.findings {
            table.row([
                finding.kind.clone(),
                cell(finding.domain.as_ref()),
                cell(finding.device.as_ref()),
                cell(finding.repaired.map(|repaired| if repaired { "yes" } else { "no" })),
                finding.detail.clone(),
                cell(finding.repair.as_ref()),
            ]);
        }
        let (all, left) = (report.findings.len(), left(report).count());
        page = page.table(table).line(format!("{all} found, {left} left: {looked_at}"));
    }
    for waiting in &report.waiting {
        let (domain, device, since) = (&waiting.domain, &waiting.device, &waiting.since);
        page = page
            .line(format!("waiting: {domain}: the guest has not let go of {device} since {since}"));
    }
    for domain in &report.under_way {
        page = page.line(format!("under way: {domain}: a verb is changing it"));
    }
    page
}

#[cfg(test)]
mod tests {
    use steadfast::Waiting;

    use super::*;
    use crate::page::Style;

    fn finding(repaired: Option<bool>) -> Finding {
        Finding {
            kind: "drift".into(),
            domain: Some("web1".into()),
            device: None,
            detail: "mac".into(),
            repair: None,
            repaired,
        }
    }

    fn report(findings: Vec<Finding>) -> Report {
        let waiting = vec![Waiting {
            domain: "web1".into(),
            device: "old".into(),
            since: "2026-01-01T00:00:00Z".into(),
        }];
        Report {
            clean: findings.is_empty(),
            domains: 2,
            devices: 17,
            findings,
            waiting,
            under_way: vec!["db".into()],
        }
    }

    #[test]
    fn a_finding_that_was_repaired_is_told_and_is_not_left() {
        assert_eq!(left(&report(vec![finding(Some(true))])).count(), 0);
        assert_eq!(
            left(&report(vec![finding(Some(false)), finding(None), finding(Some(true))])).count(),
            2
        );
    }

    #[test]
    fn what_waits_and_what_is_under_way_is_told_of_a_clean_host_too() {
        let text = page(&report(Vec::new())).render(Style::Plain);
        let expected = "clean: 2 domains, 17 devices\n\
            waiting: web1: the guest has not let go of old since 2026-01-01T00:00:00Z\n\
            under way: db: a verb is changing it\n";
        assert_eq!(text, expected);
        let text = page(&report(vec![finding(Some(true)), finding(None)])).render(Style::Plain);
        assert!(text.contains("2 found, 1 left: 2 domains, 17 devices"), "{text}");
    }
}
