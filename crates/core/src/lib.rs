//! Every decision of Nightshift.
