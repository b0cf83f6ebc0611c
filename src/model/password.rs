//! A password: kept and sent, never shown.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A password towards instances; empty for none. Whoever prints what holds it prints `******`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Deref for Password {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "******" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GroupConfig, Setting};

    #[test]
    fn nothing_that_holds_a_password_prints_it() {
        let password = Password::from("hush".to_owned());
        let config = GroupConfig {
            auth_pass: password.clone(),
            ..GroupConfig::default()
        };
        for shown in [
            format!("{config:?}"),
            format!("{config:#?}"),
            format!("{:?}", Setting::AuthPass(password)),
        ] {
            assert!(shown.contains("******") && !shown.contains("hush"), "{shown}");
        }
    }
}
