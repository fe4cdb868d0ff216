//! Where the records and the sockets are, if nobody says.

use std::ffi::OsString;
use std::path::Path;

use steadfast::{Error, Kind};

use crate::absolute::absolute;
use crate::arguments::Terms;
use crate::problem::invalid;

/// The two folders of a host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folders {
    /// Database, locks, userdata.
    pub(crate) state: String,
    /// Sockets, `alive` files, QEMU's logs.
    pub(crate) run: String,
}

/// Whose defaults.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    Other,
}

impl Folders {
    /// As given, else the defaults of this user.
    ///
    /// # Errors
    /// `invalid` for a folder that cannot be one, `environment` where there is no default.
    pub(crate) fn of(terms: &Terms) -> Result<Self, Error> {
        let user = if rustix::process::geteuid().is_root() { User::Root } else { User::Other };
        Self::choose(terms.state.as_deref(), terms.run.as_deref(), user, &|name| {
            std::env::var_os(name)
        })
    }

    fn choose(
        state: Option<&str>,
        run: Option<&str>,
        user: User,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let state = match (state, user) {
            (Some(given), _) => folder("--state", given)?,
            (None, User::Root) => "/var/lib/steadfast".to_owned(),
            (None, User::Other) => match base("XDG_STATE_HOME", variable)? {
                Some(base) => format!("{base}/steadfast"),
                // The XDG base directory specification gives a default for this one.
                None => match base("HOME", variable)? {
                    Some(home) => format!("{home}/.local/state/steadfast"),
                    None => return Err(nowhere("state", "XDG_STATE_HOME nor HOME")),
                },
            },
        };
        let run = match (run, user) {
            (Some(given), _) => folder("--run", given)?,
            (None, User::Root) => "/run/steadfast".to_owned(),
            (None, User::Other) => match base("XDG_RUNTIME_DIR", variable)? {
                Some(base) => format!("{base}/steadfast"),
                // No default there: another folder would not go with the last session, as the specification asks.
                None => return Err(nowhere("run", "XDG_RUNTIME_DIR")),
            },
        };
        Ok(Self { state, run })
    }
}

fn folder(flag: &str, given: &str) -> Result<String, Error> {
    if given.is_empty() {
        return Err(invalid(format!("{flag}: the folder's name is empty")));
    }
    absolute(given)
}

/// A folder of the environment. The specification: what is unset, empty or relative is as if it were not there.
fn base(name: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<String>, Error> {
    let Some(value) = variable(name).filter(|value| Path::new(value).is_absolute()) else {
        return Ok(None);
    };
    let value = value.into_string().map_err(|_| invalid(format!("{name} is not UTF-8")))?;
    Ok(Some(value.trim_end_matches('/').to_owned()))
}

fn nowhere(what: &str, variables: &str) -> Error {
    let unset = if variables.contains(" nor ") { "neither" } else { "not" };
    let message = match unset {
        "neither" => format!("no {what} folder: neither {variables} is set"),
        _ => format!("no {what} folder: {variables} is not set"),
    };
    Error::new(Kind::Environment, message)
        .hint(format!("give --{what} DIR or set STEADFAST_{}", what.to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(user: User, variables: &[(&str, &str)]) -> Result<(String, String), Error> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        Folders::choose(None, None, user, &find).map(|folders| (folders.state, folders.run))
    }

    fn pair(state: &str, run: &str) -> (String, String) {
        (state.to_owned(), run.to_owned())
    }

    #[test]
    fn root_has_the_folders_of_the_system_whatever_the_environment_says() {
        let found = choose(
            User::Root,
            &[("XDG_STATE_HOME", "/x"), ("XDG_RUNTIME_DIR", "/y"), ("HOME", "/root")],
        );
        assert_eq!(found, Ok(pair("/var/lib/steadfast", "/run/steadfast")));
    }

    #[test]
    fn a_user_has_the_folders_of_the_session() {
        let found =
            choose(User::Other, &[("XDG_STATE_HOME", "/x/"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(found, Ok(pair("/x/steadfast", "/run/user/7/steadfast")));
        let found = choose(
            User::Other,
            &[("XDG_STATE_HOME", "relative"), ("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")],
        );
        assert_eq!(found, Ok(pair("/h/.local/state/steadfast", "/r/steadfast")));
    }

    #[test]
    fn without_a_default_the_host_will_not_and_the_hint_names_the_flag() {
        for (variables, flag) in
            [(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "")][..], "--run"), (&[], "--state")]
        {
            let error = choose(User::Other, variables).unwrap_err();
            assert_eq!(error.kind, Kind::Environment);
            assert!(error.hint.as_deref().unwrap_or_default().contains(flag), "{error:?}");
        }
    }

    #[test]
    fn a_folder_that_is_given_wins_and_an_empty_one_is_refused() {
        let none = |_: &str| None;
        let found = Folders::choose(Some("/s"), Some("/r"), User::Other, &none);
        assert_eq!(found, Ok(Folders { state: "/s".into(), run: "/r".into() }));
        let error = Folders::choose(Some(""), Some("/r"), User::Other, &none).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
    }
}
