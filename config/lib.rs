//! What the operator chooses: typed settings with friendly errors.
