//! The lists of guards: what each is, and how the protocol looks without it.
//!
//! ```text
//! ## name (rule) what happens where it is gone
//! behind: the guard that holds where this one is gone
//! @ file
//! -lines as they stand
//! +lines in which GONE is true where the guard is to be gone
//! ```
//!
//! Several guards may share a change; it then says `GONE(name)`. All changes go into one tree, so that one build serves
//! all trials.

use std::{collections::BTreeMap, ops::Range};

/// One guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Its name.
    pub(crate) name: String,
    /// The rule it keeps, where it is one of the table, and what happens without it.
    pub(crate) gone: String,
    /// A second line: what holds without it, so that no scenario can miss it.
    pub(crate) behind: Option<String>,
    /// Where it stands: file and line.
    pub(crate) place: String,
}

/// Lines of a file and what stands there instead.
struct Change {
    guards: Range<usize>,
    file: String,
    old: Vec<String>,
    new: Vec<String>,
}

/// Guards, and the files that can do without each of them.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) guards: Vec<Guard>,
    pub(crate) files: BTreeMap<String, String>,
}

/// Applies lists to files.
///
/// # Errors
/// A list that cannot be read, or lines that do not stand exactly once where the list says: code and list have parted.
pub(crate) fn apply(
    lists: &[String],
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Listed, String> {
    let (mut guards, changes) = parse(lists)?;
    let mut files: BTreeMap<String, (Vec<String>, Vec<Edit>)> = BTreeMap::new();
    for change in &changes {
        let name = guards[change.guards.start].name.clone();
        if !files.contains_key(&change.file) {
            let text = read(&change.file)?;
            let lines = text.lines().map(str::to_owned).collect();
            files.insert(change.file.clone(), (lines, Vec::new()));
        }
        let Some((lines, edits)) = files.get_mut(&change.file) else { continue };
        let edit = place(lines, change).map_err(|why| format!("{name}: {why}"))?;
        for guard in &mut guards[change.guards.clone()] {
            if guard.place.is_empty() {
                guard.place = format!("{}:{}", change.file, edit.lines.start + 1);
            }
        }
        edits.push(edit);
    }
    let files = files.into_iter().map(|(file, (lines, edits))| {
        edit(lines, edits).map(|text| (file.clone(), text)).map_err(|why| format!("{file}: {why}"))
    });
    Ok(Listed { guards, files: files.collect::<Result<_, _>>()? })
}

/// New lines for a range of a file's lines.
struct Edit {
    lines: Range<usize>,
    new: Vec<String>,
}

fn place(lines: &[String], change: &Change) -> Result<Edit, String> {
    let same = |at: usize| {
        let there = lines[at..at + change.old.len()].iter();
        there.zip(&change.old).all(|(there, old)| there.trim() == old.trim())
    };
    let last = (lines.len() + 1).saturating_sub(change.old.len());
    let found: Vec<_> = (0..last).filter(|at| same(*at)).collect();
    let [at] = found[..] else {
        return Err(format!("its lines stand {} times in {}", found.len(), change.file));
    };
    let (old, new) = (&change.old, &change.new);
    let alike = |pair: &(&String, &String)| pair.0.trim() == pair.1.trim();
    let before = old.iter().zip(new).take_while(alike).count();
    let rest = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(alike).count();
    Ok(Edit {
        lines: at + before..at + old.len() - after,
        new: new[before..new.len() - after].to_vec(),
    })
}

fn edit(mut lines: Vec<String>, mut edits: Vec<Edit>) -> Result<String, String> {
    edits.sort_by_key(|edit| (edit.lines.start, edit.lines.end));
    for pair in edits.windows(2) {
        if pair[0].lines.end > pair[1].lines.start {
            return Err(format!("two guards change line {}", pair[1].lines.start + 1));
        }
    }
    for edit in edits.into_iter().rev() {
        lines.splice(edit.lines, edit.new);
    }
    Ok(lines.join("\n") + "\n")
}

fn parse(lists: &[String]) -> Result<(Vec<Guard>, Vec<Change>), String> {
    let mut guards: Vec<Guard> = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut group = 0..0;
    for line in lists.iter().flat_map(|list| list.lines()) {
        if let Some(head) = line.strip_prefix("## ") {
            let (name, gone) = head.split_once(' ').ok_or_else(|| format!("no words: {line}"))?;
            if guards.iter().any(|guard| guard.name == name) {
                return Err(format!("{name} is listed twice"));
            }
            if changes.last().is_some_and(|change| change.guards.end == guards.len()) {
                group = guards.len()..guards.len();
            }
            group.end += 1;
            let (name, gone) = (name.to_owned(), gone.to_owned());
            guards.push(Guard { name, gone, behind: None, place: String::new() });
        } else if let Some(behind) = line.strip_prefix("behind: ") {
            let guard = guards.last_mut().ok_or("behind what")?;
            guard.behind = Some(behind.to_owned());
        } else if let Some(file) = line.strip_prefix("@ ") {
            let (old, new) = Default::default();
            changes.push(Change { guards: group.clone(), file: file.to_owned(), old, new });
        } else if let Some(old) = line.strip_prefix('-') {
            changes.last_mut().ok_or("lines without a file")?.old.push(old.to_owned());
        } else if let Some(new) = line.strip_prefix('+') {
            let new = switch(new, &guards[group.clone()])?;
            changes.last_mut().ok_or("lines without a file")?.new.push(new);
        } else if !line.is_empty() && !line.starts_with("# ") {
            return Err(format!("what is this: {line}"));
        }
    }
    let bare = guards.iter().enumerate().find(|(at, _)| {
        !changes.iter().any(|change| change.guards.contains(at) && !change.old.is_empty())
    });
    match bare {
        Some((_, guard)) => Err(format!("{} changes nothing", guard.name)),
        None => Ok((guards, changes)),
    }
}

/// `GONE` is what the program of the trial asks.
fn switch(line: &str, group: &[Guard]) -> Result<String, String> {
    let call = |name: &str| format!("crate::goes_without({name:?})");
    let mut line = line.to_owned();
    for guard in group {
        line = line.replace(&format!("GONE({})", guard.name), &call(&guard.name));
    }
    match group {
        [guard] => Ok(line.replace("GONE", &call(&guard.name))),
        _ if line.contains("GONE") => Err(format!("which guard is gone: {line}")),
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn applied(list: &str, file: &str) -> Result<Listed, String> {
        apply(&[list.to_owned()], |_| Ok(file.to_owned()))
    }

    #[test]
    fn every_guard_stands_where_the_lists_say() {
        let root = tree::workspace().expect("the workspace");
        let lists = tree::lists(&root).expect("the lists");
        let listed = apply(&lists, |file| tree::read(&root.join(file))).expect("code and lists");
        assert!(listed.guards.len() > 100, "{} guards", listed.guards.len());
    }

    #[test]
    fn guards_that_share_a_line_are_told_apart() {
        let list =
            "## one (R1) a\n## two (R2) b\n@ file\n-if x {\n+if x && !GONE(one) || GONE(two) {\n";
        let listed = applied(list, "a\n  if x {\nb\n").expect("applies");
        let text = &listed.files["file"];
        assert_eq!(
            text,
            "a\nif x && !crate::goes_without(\"one\") || crate::goes_without(\"two\") {\nb\n"
        );
        assert_eq!(listed.guards[1].place, "file:2");
    }

    #[test]
    fn lines_that_are_not_there_or_there_twice_are_an_error() {
        let list = "## one (R1) a\n@ file\n-if x {\n+if GONE {\n";
        assert!(applied(list, "a\n").is_err());
        assert!(applied(list, "if x {\nif x {\n").is_err());
    }

    #[test]
    fn two_guards_do_not_change_one_line() {
        let list = "## one (R1) a\n@ file\n-if x {\n+if GONE {\n## two (R1) a\n@ file\n-if x {\n+if GONE {\n";
        assert!(applied(list, "if x {\n").is_err());
    }
}
