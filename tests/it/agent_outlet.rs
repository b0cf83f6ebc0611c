//! The agent's outlet with real files, scripts and processes, and with Debian's nutcracker.

mod bdrp;
mod child;
mod file;
mod hook;
mod nutcracker;
mod place;
mod template;
