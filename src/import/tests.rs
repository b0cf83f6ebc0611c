//! Plans, without files and sockets.
