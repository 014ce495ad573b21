//! The stories that the agent has on the lab, by the same names, on the simulated cluster: in seconds,
//! judged by its objects and its audit lines.

mod alert;
mod breaker;
mod bystanders;
mod clock;
mod crash_points;
mod gap;
mod known_good;
mod nodes;
mod ordered;
mod outage;
mod road;
mod runbooks;
mod silence;
mod stage;
mod stopping;
