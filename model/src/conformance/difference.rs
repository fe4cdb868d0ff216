//! Two transcripts as one, with what only one of them has.

/// Lines shown around what differs.
const AROUND: usize = 4;

/// Both transcripts as a diff; `None`: they are the same.
pub fn difference(simulated: &[String], real: &[String]) -> Option<String> {
    if simulated == real {
        return None;
    }
    let lines = align(simulated, real);
    let differs: Vec<_> = lines.iter().map(|line| !line.starts_with(' ')).collect();
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let to = (at + AROUND + 1).min(differs.len());
        differs[from..to].contains(&true)
    };
    let mut shown = vec!["- simulated, + real".to_owned()];
    for (at, line) in lines.iter().enumerate() {
        if near(at) {
            shown.push(line.clone());
        } else if at > 0 && near(at - 1) {
            shown.push("  ...".to_owned());
        }
    }
    Some(shown.join("\n"))
}

/// By the longest common subsequence.
fn align(one: &[String], other: &[String]) -> Vec<String> {
    let mut common = vec![vec![0_usize; other.len() + 1]; one.len() + 1];
    for (at, line) in one.iter().enumerate().rev() {
        for (with, theirs) in other.iter().enumerate().rev() {
            common[at][with] = if line == theirs {
                common[at + 1][with + 1] + 1
            } else {
                common[at + 1][with].max(common[at][with + 1])
            };
        }
    }
    let (mut at, mut with) = (0, 0);
    let mut lines = Vec::new();
    while at < one.len() || with < other.len() {
        if at < one.len() && with < other.len() && one[at] == other[with] {
            lines.push(format!("  {}", one[at]));
            (at, with) = (at + 1, with + 1);
        } else if with == other.len()
            || at < one.len() && common[at + 1][with] >= common[at][with + 1]
        {
            lines.push(format!("- {}", one[at]));
            at += 1;
        } else {
            lines.push(format!("+ {}", other[with]));
            with += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_only_one_side_has_is_marked() {
        assert_eq!(difference(&lines("a b"), &lines("a b")), None);
        let shown = difference(&lines("a b d"), &lines("a c d"));
        assert_eq!(shown.as_deref(), Some("- simulated, + real\n  a\n- b\n+ c\n  d"));
    }
}
