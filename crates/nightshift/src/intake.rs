//! Intake: what others send us becomes inputs of the engine. It reads and bounds, nothing more:
//! no store, no cluster, no clock (the time of hearing is a parameter).

pub mod alertmanager;
mod subject;
mod text;
