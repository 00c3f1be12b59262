//! Environments that go only when somebody asks for it by name.

use super::Refusal;

/// Refuses to take down a protected environment because of something that happened elsewhere, such as the closing
/// of its pull request.
#[must_use]
pub fn check(environment: &str, protected: bool) -> Option<Refusal> {
    protected.then(|| Refusal::Protected { environment: environment.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_protected_stays() {
        assert_eq!(check("qa", false), None);
        assert_eq!(check("qa", true).map(|refusal| refusal.code()), Some("PRV008"));
    }
}
