//! Whose places a run may work in.

use dockseal_inventory::{Kind, Place};
use dockseal_store::{Home, HomeError, Sight, owner_of};

/// Whose places a run may work in.
///
/// Whoever owns an authority's directory can write into its inventory whatever they like, so root takes a place from it only
/// where that user could put a bundle without root. A place that root names itself is not asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacesOf {
    /// Everybody's: the authority is that of the user who runs this.
    #[default]
    Everybody,
    /// This user's alone, on this machine alone: it is that user's authority, and root works on it.
    User(u32),
}

impl PlacesOf {
    /// Those that the inventory of this authority may name.
    ///
    /// # Errors
    /// When the authority's directory cannot be looked at.
    pub fn authority(home: &Home) -> Result<Self, HomeError> {
        Ok(home.other_owner()?.map_or(Self::Everybody, Self::User))
    }

    /// Whether a directory that is held is one of them.
    pub fn include(self, sight: &Sight) -> bool {
        match self {
            Self::Everybody => true,
            Self::User(user) => sight.owner().is_ok_and(|owner| owner == user),
        }
    }

    /// Whether a place is one of them; one that is missing is where it would be made.
    pub fn include_place(self, place: &Place) -> bool {
        match self {
            Self::Everybody => true,
            Self::User(user) => place.kind != Kind::Ssh && owner_of(&place.path).is_ok_and(|owner| owner == user),
        }
    }
}
