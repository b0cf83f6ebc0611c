//! The configuration file of a proxy of the twemproxy family: finds its servers, and changes addresses only.
//!
//! ```text
//! text --parse--> servers (pool, name, address, place in the text) --render with placements--> text
//! ```
//!
//! Comments, order, quoting and every other byte stay as they are.
//! What does not live here: files, the proxy's process, and which address is the right one.
