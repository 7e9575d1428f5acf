//! The daemon beside one meter: it reads the meter, publishes encrypted
//! readings, and helps to open sums.

mod agent;
pub mod cli;
pub mod config;
pub mod evidence;
mod growth;
mod home;
pub mod probe;
pub mod read;
pub mod sent;
pub mod slots;
pub mod source;
pub mod status;
mod vigil;
pub mod vitals;

pub use agent::run;
pub use config::Config;
pub use home::DATABASE;
