//! The rows of ACL.

use crate::requests::acl;
use crate::requests::spec::Spec;

use super::{ADMIN, ROW};

const ACL_ROW: Spec = Spec {
    since: "6.0.0",
    group: "server",
    ..ROW
};

const ACL_ADMIN_ROW: Spec = Spec {
    flags: ADMIN,
    ..ACL_ROW
};

pub(super) const REQUESTS: &[Spec] = &[
    Spec {
        name: "acl|cat",
        arity: -2,
        usage: "[<category>]",
        summary: "The categories of requests, or the requests of one.",
        run: acl::cat,
        ..ACL_ROW
    },
    Spec {
        name: "acl|deluser",
        arity: -3,
        usage: "<username> [<username> ...]",
        summary: "Answers 0: there is no user but default, which cannot be deleted.",
        run: acl::delete_user,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|dryrun",
        arity: -4,
        usage: "<username> <command> [<arg> ...]",
        summary: "Whether the user may do this.",
        since: "7.0.0",
        run: acl::dry_run,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|genpass",
        arity: -2,
        usage: "[<bits>]",
        summary: "Not there yet: users come later.",
        run: acl::not_yet,
        ..ACL_ROW
    },
    Spec {
        name: "acl|getuser",
        arity: 3,
        usage: "<username>",
        summary: "What a user may do.",
        run: acl::get_user,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|help",
        arity: 2,
        flags: &["loading", "stale"],
        summary: "This text.",
        run: acl::help,
        ..ACL_ROW
    },
    Spec {
        name: "acl|list",
        arity: 2,
        summary: "The users, as a configuration file has them.",
        run: acl::list,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|load",
        arity: 2,
        summary: "Refused: there is no ACL file.",
        run: acl::no_file,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|log",
        arity: -2,
        usage: "[<count>|RESET]",
        summary: "What was denied: nothing, because everything is allowed.",
        run: acl::log,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|save",
        arity: 2,
        summary: "Refused: there is no ACL file.",
        run: acl::no_file,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|setuser",
        arity: -3,
        usage: "<username> [<rule> ...]",
        summary: "Not there yet: users come later.",
        run: acl::not_yet,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|users",
        arity: 2,
        summary: "The names of the users.",
        run: acl::users,
        ..ACL_ADMIN_ROW
    },
    Spec {
        name: "acl|whoami",
        arity: 2,
        summary: "The user of this connection.",
        run: acl::who_am_i,
        ..ACL_ROW
    },
];
