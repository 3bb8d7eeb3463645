//! Who looks at a page, as far as a page depends on it.

use subtle::ConstantTimeEq;

/// A request of somebody who has signed in with the form: an extension of the request.
#[derive(Clone)]
pub struct Session {
    /// What no other site's page knows. A form that changes something holds it.
    pub token: String,
}

impl Session {
    /// Whether a form has the token. Takes the same time for whatever is wrong.
    pub(crate) fn gave(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }
}
