//! Crashes: the store is interrupted in every way that can be had in a test, and what it holds
//! afterwards is compared with what it promised.

mod damage;
mod formats;
mod kill;
mod kill_points;
mod power_cut;
mod refusal;
mod sled_files;
mod workload;
