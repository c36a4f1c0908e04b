//! How large an answer may become where few bytes ask for many: a name of a few bytes for all of a group's offsets, all configs of
//! a broker, and again as often as it stands in the request. Nothing is looked up any more once there is no room.

use crate::broker::ApiError;
use crate::wire::ErrorCode;

/// Enough for all configs of ten thousand topics.
const BYTES: usize = 128 << 20;

/// What is left of it for one answer.
#[derive(Debug)]
pub(super) struct Room(Option<usize>);

impl Room {
    pub fn new() -> Self {
        Room(Some(BYTES))
    }

    /// Whether anything more may be looked up.
    pub fn check(&self) -> Result<(), ApiError> {
        match self.0 {
            Some(_) => Ok(()),
            None => Err(too_much()),
        }
    }

    /// Takes up so many bytes. What does not fit ends it: nothing more fits either.
    pub fn take(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        self.check()
    }
}

fn too_much() -> ApiError {
    ApiError::new(
        ErrorCode::POLICY_VIOLATION,
        format!("An answer of more than {BYTES} bytes: ask about fewer at once."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_ends_it() {
        let mut room = Room::new();
        assert!(room.take(BYTES).is_ok() && room.check().is_ok());
        assert_eq!(room.take(1).unwrap_err().code, ErrorCode::POLICY_VIOLATION);
        assert!(room.take(0).is_err() && room.check().is_err());
    }
}
